"""The heads of each preset against the paper's list (spec.md sections 1, 2 and 4), and what a store must have."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from paper_store import MUQ, RELEASE, SOURCES, later_battles, paper_pairs, paper_store
from sealed_store import toy_store

from trainers.config import PresetName, SweepConfig
from trainers.data import load_dataset
from trainers.k_sweep import added, k_split, k_universe
from trainers.presets import PresetHead, plan
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.view import pool_sizes, shared_data
from tunejury_jax.store import FeatureStore

MA, MP, AIME, SE = SOURCES
PRESETS = get_args(PresetName)
FULL = Recipe(TrainConfig(), DataConfig(blocks=RELEASE))


def of_data(**changes: Any) -> Recipe:
    return replace(FULL, data=replace(FULL.data, **changes))


def of_muq(**changes: Any) -> Recipe:
    train = replace(FULL.train, widths=(512, 256, 128, 64))
    return Recipe(train, DataConfig(blocks=MUQ, **changes))


LEAVE_OUT = {
    "full": FULL,
    "no MusicArena": of_data(leave_out=(MA,)),
    "no MusicPrefs": of_data(leave_out=(MP,)),
    "no AIME": of_data(leave_out=(AIME,)),
    "no SongEval": of_data(leave_out=(SE,)),
    "no SongEval and MusicArena": of_data(leave_out=(SE, MA)),
    "no MusicPrefs and MusicArena": of_data(leave_out=(MP, MA)),
}
ABLATION = {
    "A1": of_data(blocks=("clap_audio",)),
    "A2": of_data(blocks=("mert",)),
    "A3": of_data(blocks=("clap_text",)),
    "A4": of_data(blocks=("clap_audio", "mert")),
    "A5": of_data(blocks=("clap_audio", "clap_text")),
    "A6": of_data(blocks=("mert", "clap_text")),
    "full": FULL,
}
ZERO = {"full": FULL, "MusicPrefs without prompts": of_data(zero_prompt_sources=(MP,))}
SWAP = {"MuQ": of_muq(), "MuQ, no MusicArena": of_muq(leave_out=(MA,))}
LISTS = {
    "release": {"full": FULL},
    "seeds": {"full": FULL},
    "leave-out": LEAVE_OUT,
    "input-ablation": ABLATION,
    "musicprefs-zero": ZERO,
    "encoder-swap": SWAP,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return paper_store(tmp_path_factory.mktemp("paper") / "store")


@pytest.fixture(scope="module")
def increment(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("increment") / "increment.json"
    path.write_text(json.dumps({"new_uuids": [pair.id for pair in reversed(later_battles())]}))
    return str(path)


def asked(preset: PresetName, **options: Any) -> SweepConfig:
    return SweepConfig(preset=preset, **{"seeds": 2, **options})


def by_name(heads: list[PresetHead], seed: int) -> dict[str, Recipe]:
    return {head.name: head.recipe for head in heads if head.recipe.train.seed == seed}


@pytest.mark.parametrize("preset", LISTS)
def test_a_preset_is_the_list_of_the_paper_once_a_seed(store: FeatureStore, preset: PresetName) -> None:
    heads = plan(asked(preset, seed=7), store)
    assert sorted({head.recipe.train.seed for head in heads}) == [7, 8]
    for seed in (7, 8):
        expected = {n: replace(r, train=replace(r.train, seed=seed)) for n, r in LISTS[preset].items()}
        assert list(by_name(heads, seed).items()) == list(expected.items())
    assert len(heads) == 2 * len(LISTS[preset])


def test_the_k_sweep_adds_the_first_of_its_seeds_pool_to_music_arena_alone(store: FeatureStore, increment: str) -> None:
    heads = plan(asked("k-sweep-retrain", increment=increment, seed=42), store)
    assert [(head.name, head.recipe.train.seed) for head in heads] == [("K=0", 0), ("K=3", 0), ("K=0", 1), ("K=3", 1)]
    others = tuple(name for name in store.plan.sources if name != MA)
    for head in heads:
        pool, _ = k_split([f"later-{n}" for n in reversed(range(9))], head.recipe.train.seed)
        data = DataConfig(RELEASE, leave_out=others, clean_valid=True, add=tuple(pool[: added(head.name)]))
        assert head.recipe == Recipe(replace(FULL.train, max_epochs=100, seed=head.recipe.train.seed), data)


def test_a_shorter_training_holds_for_the_k_sweep_too(store: FeatureStore, increment: str) -> None:
    heads = plan(asked("k-sweep-retrain", increment=increment, max_epochs=9), store)
    assert {head.recipe.train.max_epochs for head in heads} == {9}


def test_paper_is_all_of_them_with_equal_heads_once_and_in_two_shapes(store: FeatureStore, increment: str) -> None:
    options = {"increment": increment, "seed": 3}
    heads = plan(asked("paper", **options), store)
    families = [plan(asked(preset, **options), store) for preset in PRESETS if preset != "paper"]
    assert {(h.name, h.recipe) for h in heads} == {(h.name, h.recipe) for family in families for h in family}
    assert len({h.recipe for h in heads}) == len(heads) == 2 * (7 + 6 + 1 + 2 + 2)
    assert len({(h.recipe.train.widths, h.recipe.train.batch_size) for h in heads}) == 2
    shared_data([head.recipe.data for head in heads])  # which refuses heads that cannot share what is loaded


def test_families_that_a_store_cannot_serve_are_named_and_the_others_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = paper_store(tmp_path / "store", paper_pairs((MA, MP)), blocks=RELEASE)
    heads = plan(asked("paper"), store)
    assert {head.name for head in heads} == {*ABLATION, *ZERO}
    left_out = [line.split(":")[1] for line in capsys.readouterr().err.splitlines()]
    assert left_out == [f" {name} is left out" for name in ("leave-out", "encoder-swap", "k-sweep-retrain")]


@pytest.mark.parametrize(("content", "error"), [(None, OSError), ("{", ValueError), ("{}", ValueError)])
def test_paper_does_not_pass_over_a_file_that_it_cannot_read(
    store: FeatureStore, tmp_path: Path, content: str | None, error: type[Exception]
) -> None:
    if content is not None:
        (tmp_path / "file.json").write_text(content)
    with pytest.raises(error, match=r"file\.json"):
        plan(asked("paper", increment=str(tmp_path / "file.json")), store)


@pytest.mark.parametrize("preset", ["release", "seeds", "paper"])
def test_any_store_has_a_full_head_of_all_its_blocks(tmp_path: Path, preset: PresetName) -> None:
    heads = plan(asked(preset), toy_store(tmp_path / "store", pairs=20))
    assert [(head.name, head.recipe.data) for head in heads] == [("full", DataConfig())] * 2


@pytest.mark.parametrize(
    ("preset", "lacking"),
    [
        ("leave-out", "leave-out needs source 'MusicArena', the store has Alpha, Beta"),
        ("musicprefs-zero", "musicprefs-zero needs source 'MusicPrefs', the store has Alpha, Beta"),
        ("input-ablation", "input-ablation needs block 'clap_audio', the store has toy, words"),
        ("encoder-swap", "encoder-swap needs block 'muq_audio', the store has toy, words"),
        ("k-sweep-retrain", "k-sweep-retrain needs source 'MusicArena', the store has Alpha, Beta"),
    ],
)
def test_a_preset_says_what_a_store_lacks_and_what_it_has(tmp_path: Path, preset: PresetName, lacking: str) -> None:
    with pytest.raises(ValueError, match=lacking):
        plan(asked(preset), toy_store(tmp_path / "store", pairs=20))


def test_the_k_sweep_needs_its_file(store: FeatureStore) -> None:
    with pytest.raises(ValueError, match="increment: k-sweep-retrain needs the file of the pairs to add"):
        plan(asked("k-sweep-retrain"), store)


CHOSEN = [(preset, name) for preset in PRESETS for name in ("leave_out", "add")]
CHOSEN += [(preset, "blocks") for preset in ("input-ablation", "encoder-swap", "paper")]
CHOSEN += [(preset, "zero_prompt_sources") for preset in ("musicprefs-zero", "paper")]


@pytest.mark.parametrize(("preset", "option"), CHOSEN)
def test_an_option_that_a_preset_chooses_itself_is_refused(store: FeatureStore, preset: Any, option: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.{option}: got \('mert',\), which preset {preset} chooses itself"):
        plan(asked(preset, data=DataConfig(**{option: ("mert",)})), store)


def test_options_of_the_sweep_hold_for_every_head(store: FeatureStore) -> None:
    data = DataConfig(blocks=("mert",), both_bad_as_tie=True, clean_valid=True, zero_prompt_sources=(AIME,))
    heads = plan(asked("leave-out", data=data, batch_size=8, patience=3, max_epochs=5), store)
    assert {replace(head.recipe.data, leave_out=()) for head in heads} == {data}
    assert {(h.recipe.train.batch_size, h.recipe.train.patience, h.recipe.train.max_epochs) for h in heads} == {
        (8, 3, 5)
    }


def test_every_head_of_the_k_sweep_keeps_its_pool_and_test_apart(store: FeatureStore, increment: str) -> None:
    universe = k_universe(increment, store)
    for head in plan(asked("k-sweep-retrain", increment=increment, seeds=4), store):
        _, test = k_split(universe, head.recipe.train.seed)
        assert set(head.recipe.data.add).isdisjoint(test)


@pytest.mark.parametrize("failed", [{}, {"clap_text": {1: "not a text"}}], ids=["all encoded", "some not"])
def test_the_k_sweep_can_be_trained_whatever_its_file_lists(tmp_path: Path, failed: Any) -> None:
    """Pairs of all splits too, and battles that could not be encoded: `data.add` refuses both."""
    battles = [replace(pair, prompt="fast" if n < 3 else "calm") for n, pair in enumerate(later_battles())]
    store = paper_store(tmp_path / "store", [*paper_pairs(), *battles], failed=failed)
    (tmp_path / "file.json").write_text(json.dumps({"new_uuids": [p.id for p in [*paper_pairs((MA,)), *battles]]}))
    heads = plan(asked("k-sweep-retrain", increment=str(tmp_path / "file.json"), seeds=4), store)
    dataset = load_dataset(store, shared_data([head.recipe.data for head in heads]))
    sizes = [(head.name, pool_sizes(dataset, head.recipe.data)) for head in heads]
    assert sizes == [("K=0", {"train": 2, "valid": 1}), ("K=3", {"train": 5, "valid": 1})] * 4
