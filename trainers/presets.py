"""The published heads, each family one command: `python -m trainers.sweep --preset NAME --store STORE --out RUN`.

A preset is a list of named heads. They differ in what is traced, so all heads of one width are one population; `paper`
trains every head of the paper in two. Each head is trained with `--seeds` seeds, starting at `--seed`.

Published numbers are those of the paper's project (github.com/yonghyunk1m/TuneJury), one seed each unless said.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainers.config import PresetName, SweepConfig
from trainers.k_sweep import KS, MissingError, k_name, k_split, k_universe
from trainers.recipe import Recipe
from tunejury_jax.blocks import SIGNAL
from tunejury_jax.store import FeatureStore

__all__ = ["ABLATIONS", "FULL", "LEAVE_OUTS", "MUQ_HEAD", "RELEASE", "UNPROMPTED", "PresetHead", "plan", "without"]

FULL, UNPROMPTED, MUQ_HEAD = "full", "MusicPrefs without prompts", "MuQ"
RELEASE = ("clap_audio", "mert", "clap_text")
MUQ, MUQ_WIDTHS = ("muq_audio", "muq_text"), (512, 256, 128, 64)
MA, MP, AIME, SE = "MusicArena", "MusicPrefs", "AIME", "SongEval"
LEAVE_OUTS = ((MA,), (MP,), (AIME,), (SE,), (SE, MA), (MP, MA))
ABLATIONS = {
    "A1": ("clap_audio",),
    "A2": ("mert",),
    "A3": ("clap_text",),
    "A4": ("clap_audio", "mert"),
    "A5": ("clap_audio", "clap_text"),
    "A6": ("mert", "clap_text"),
    "A7": RELEASE,
}
K_EPOCHS = 100
CHOOSES: dict[str, tuple[PresetName, ...]] = {
    "blocks": ("input-ablation", "encoder-swap", "paper"),
    "zero_prompt_sources": ("musicprefs-zero", "paper"),
}
"""Data options that some presets choose for their heads; those of `add` and `leave_out` are chosen by all."""


@dataclass(frozen=True)
class PresetHead:
    """One head of a preset, by the name its seeds share."""

    name: str
    recipe: Recipe


def plan(config: SweepConfig, store: FeatureStore) -> list[PresetHead]:
    """The heads of a preset on a store, every name with each of its seeds; equal heads of several families are one.

    Raises:
        ValueError: The preset needs a source, a block or a file that is not there, or chooses itself what an option
            that was given would; says which.
    """
    assert config.preset
    _refuse_what_is_chosen(config)
    heads = FAMILIES[config.preset](config, store)
    return list({(head.name, head.recipe.train.seed): head for head in heads}.values())


def release(config: SweepConfig, store: FeatureStore) -> Iterator[PresetHead]:
    """The published recipe on all sources.

    `python -m trainers.sweep --preset release --store STORE`. Published: accuracy .7086 (1442 of 2035), ECE .0339.
    """
    yield from _seeded(config, FULL, _base(config, store))


def leave_out(config: SweepConfig, store: FeatureStore) -> Iterator[PresetHead]:
    """Trained without one of the four sources, or without two of them, beside the full head.

    `python -m trainers.sweep --preset leave-out --store STORE`. Validation keeps the sources that are left out, as
    published, unless `--data.clean-valid`. No numbers are published in the repository.
    """
    yield from release(config, store)
    for sources in LEAVE_OUTS:
        base = _base(config, store, needs=sources)
        yield from _seeded(config, without(sources), _with_data(base, leave_out=sources))


def input_ablation(config: SweepConfig, store: FeatureStore) -> Iterator[PresetHead]:
    """Heads that see some of the three blocks: A1 CLAP audio to A7 all.

    `python -m trainers.sweep --preset input-ablation --store STORE`. Published: A1 .705, tied with A7. A3 sees the
    prompt only, so its margins are exactly 0: undecided, accuracy one half.
    """
    base = _base(config, store)
    _require_blocks(config, store, RELEASE)
    for name, blocks in ABLATIONS.items():
        yield from _seeded(config, FULL if name == "A7" else name, _with_data(base, blocks=blocks))


def musicprefs_zero(config: SweepConfig, store: FeatureStore) -> Iterator[PresetHead]:
    """The published recipe with the prompts of MusicPrefs zeroed, whose raters saw none, beside the full head.

    `python -m trainers.sweep --preset musicprefs-zero --store STORE`.
    """
    yield from release(config, store)
    zeroed = _with_data(_base(config, store, needs=(MP,)), zero_prompt_sources=(MP,))
    yield from _seeded(config, UNPROMPTED, zeroed)


def encoder_swap(config: SweepConfig, store: FeatureStore) -> Iterator[PresetHead]:
    """MuQ-MuLan instead of CLAP and MERT, with its published widths 512-256-128-64: all sources, and no Music Arena.

    `python -m trainers.sweep --preset encoder-swap --store STORE`.
    """
    _require_blocks(config, store, MUQ)
    base = _with_data(_base(config, store, needs=(MA,)), blocks=MUQ)
    base = replace(base, train=replace(base.train, widths=MUQ_WIDTHS))
    yield from _seeded(config, MUQ_HEAD, base)
    yield from _seeded(config, f"{MUQ_HEAD}, {without((MA,))}", _with_data(base, leave_out=(MA,)))


def k_sweep_retrain(config: SweepConfig, store: FeatureStore) -> Iterator[PresetHead]:
    """Music Arena alone plus K later battles, K in 0, 3, 10, 30, 100, 250: the rival of anchor calibration.

    `python -m trainers.sweep --preset k-sweep-retrain --store STORE --increment MusicArena_v2_increment.json`.
    Published (mean and std of 5 seeds in percent, 299 battles): 55.6 1.7, 54.8 2.0, 54.1 2.3, 56.1 2.4, 55.6 2.0,
    57.0 3.5. Those heads were chosen by validation accuracy, ours by validation loss. Seeds are 0, 1, ... as published.
    """
    base = _base(config, store, needs=(MA,))
    others = tuple(name for name in store.plan.sources if name != MA)
    train = replace(base.train, max_epochs=min(K_EPOCHS, config.max_epochs))
    universe = k_universe(config.increment, store)
    for seed in range(config.seeds):
        pool, _ = k_split(universe, seed)
        for k in (k for k in KS if k <= len(pool)):
            data = replace(base.data, leave_out=others, clean_valid=True, add=tuple(pool[:k]))
            yield PresetHead(k_name(k), Recipe(replace(train, seed=seed), data))


def paper(config: SweepConfig, store: FeatureStore) -> Iterator[PresetHead]:
    """Every head of the paper for which the store has sources and blocks; the families that it has not are named.

    `python -m trainers.sweep --preset paper --store STORE --increment MusicArena_v2_increment.json`.
    """
    for name in (name for name in FAMILIES if name != "paper"):
        try:
            yield from list(FAMILIES[name](config, store))
        except MissingError as missing:
            print(f"paper: {name} is left out: {missing}", file=sys.stderr)


FAMILIES: dict[str, Callable[[SweepConfig, FeatureStore], Iterator[PresetHead]]] = {
    "release": release,
    "leave-out": leave_out,
    "input-ablation": input_ablation,
    "musicprefs-zero": musicprefs_zero,
    "seeds": release,
    "encoder-swap": encoder_swap,
    "k-sweep-retrain": k_sweep_retrain,
    "paper": paper,
}


def without(sources: tuple[str, ...]) -> str:
    """Name of a head that was trained without some sources."""
    return f"no {' and '.join(sources)}"


def _refuse_what_is_chosen(config: SweepConfig) -> None:
    """An option that would be ignored, or that would make a named head another one, is a mistake."""
    for option in ("add", "leave_out", *(name for name, presets in CHOOSES.items() if config.preset in presets)):
        if given := getattr(config.data, option):
            raise ValueError(f"data.{option}: got {given!r}, which preset {config.preset} chooses itself")


def _base(config: SweepConfig, store: FeatureStore, needs: tuple[str, ...] = ()) -> Recipe:
    """The sweep's own recipe, on the published blocks if the store has them."""
    _require(config, "source", needs, store.plan.sources)
    blocks = RELEASE if set(RELEASE) <= store.plan.encoders.keys() else ()
    return _with_data(config.recipe, blocks=config.data.blocks or blocks)


def _require_blocks(config: SweepConfig, store: FeatureStore, blocks: tuple[str, ...]) -> None:
    _require(config, "block", blocks, [name for name in store.plan.encoders if name != SIGNAL.name])


def _require(config: SweepConfig, kind: str, needs: Sequence[str], has: Sequence[str]) -> None:
    if missing := [name for name in needs if name not in has]:
        raise MissingError(f"preset: {config.preset} needs {kind} {missing[0]!r}, the store has {', '.join(has)}")


def _with_data(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, data=replace(recipe.data, **changes))


def _seeded(config: SweepConfig, name: str, recipe: Recipe) -> Iterator[PresetHead]:
    for seed in range(config.seed, config.seed + config.seeds):
        yield PresetHead(name, replace(recipe, train=replace(recipe.train, seed=seed)))
