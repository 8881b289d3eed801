"""What the heads of a preset are worth, against heads whose margins are known and counts in float64."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sealed_store import TOY, WORDS, seal, toy_values

from trainers.config import SweepConfig
from trainers.data import Dataset, load_dataset
from trainers.k_sweep import k_split
from trainers.preset_results import Measured, measure_heads
from trainers.recipe import DataConfig
from trainers.run_folder import RunFolder
from tunejury_jax.blocks import Layout
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head import initialise
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.pairs import Pair
from tunejury_jax.store import FeatureStore

CLIPS, SEEDS = 12, 3
VALUES = toy_values(2 * CLIPS, prompts=1)
VALUES["toy"][3] = VALUES["toy"][4] = VALUES["toy"][5]  # pairs of these are decided by no head
SOURCES = ("MusicArena", "Other")


def pair(number: int, split: Any, source: str = "MusicArena", name: str = "p") -> Pair:
    a, b = number % CLIPS, (number + 1) % CLIPS
    label = ("a", "b", "a", "tie")[number % 4] if split != "none" else "ab"[number % 2]
    return Pair(f"{name}{number}", source, f"{a:02}.wav", f"{b:02}.wav", label, prompt="calm", split=split)


TEST = [pair(n, "test") for n in range(CLIPS)] + [pair(n, "test", "Other", "o") for n in range(4)]
TIES = [Pair("t0", "Ties", "0.wav", "1.wav", "tie", split="test")]
LATER = [pair(n, "none", name="later") for n in range(CLIPS)]


def make_store(location: Path, pairs: list[Pair]) -> FeatureStore:
    clips = len({clip for pair in pairs for clip in (pair.clip_a, pair.clip_b)})
    values = {name: np.resize(values, (clips, values.shape[1])) for name, values in VALUES.items() if name == "toy"}
    prompts = any(pair.prompt for pair in pairs)
    return seal(location, pairs, (TOY, WORDS), values | {"words": VALUES["words"][:prompts]})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("store") / "store", [pair(0, "train"), *TEST, *TIES, *LATER])


@pytest.fixture(scope="module")
def dataset(store: FeatureStore) -> Dataset:
    return load_dataset(store, DataConfig())


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def head_of_column(column: int, blocks: Any = (TOY.block, WORDS.block)) -> Checkpoint:
    """A head whose score is relu of one column of its input, but for the 1e-5 that BatchNorm adds."""
    layout = Layout.of(blocks)
    config = HeadConfig(layout.dim, (1,))
    zeros = jax.tree.map(jnp.zeros_like, initialise(config, jax.random.key(0)))
    params, stats = zeros["params"], zeros["batch_stats"]
    params["linear_0"]["weight"] = params["linear_0"]["weight"].at[0, column].set(1.0)
    params["norm_0"]["scale"] = jnp.ones(1)
    params["output"]["weight"] = jnp.ones((1, 1))
    stats["norm_0"]["var"] = jnp.ones(1)
    encoders = {name: {"encoder": name, "revision": "1"} for name in layout.names}
    return Checkpoint(config, layout, encoders, zeros, metrics={"valid_loss": 0.5})


def row(trial: int, head: str, seed: int, state: str = "complete") -> dict[str, Any]:
    return {"trial": trial, "state": state, "params": {"head": head, "seed": seed}, "valid_loss": 0.5}


def measured(folder: RunFolder, dataset: Dataset, store: FeatureStore, rows: Any, **options: Any) -> list[Measured]:
    return measure_heads(folder, SweepConfig(preset="paper", seeds=SEEDS, **options), rows, dataset, store)


def clip_row(pair: Pair, clip: str) -> int:
    return CLIPS * ("MusicArena", "Other").index(pair.source) + int(clip.split(".")[0])


def counts(pairs: list[Pair], column: int) -> tuple[float, int, int]:
    """Accuracy, decisive and undecided pairs of the head of a column, one pair at a time."""
    right, decisive, undecided = 0.0, 0, 0
    for pair in pairs:
        if pair.label in ("a", "b"):
            sides = (VALUES["toy"][clip_row(pair, clip), column] for clip in (pair.audio_a, pair.audio_b))
            a, b = (max(0.0, np.float64(side)) for side in sides)
            decisive, undecided = decisive + 1, undecided + (a == b)
            right += 0.5 if a == b else float((a > b) == (pair.label == "a"))
    return right / decisive, decisive, undecided


def numbers(head: Measured, name: str) -> tuple[float, int, int]:
    found = head.accuracy[name]
    return found.value, found.n_decisive, found.undecided


@pytest.mark.parametrize("column", [0, 3])
def test_a_head_is_measured_on_all_test_pairs_and_on_those_of_each_source_with_a_winner(
    folder: RunFolder, dataset: Dataset, store: FeatureStore, column: int
) -> None:
    head_of_column(column).save(folder.heads / "4")
    (head,) = measured(folder, dataset, store, [row(4, "full", 42)])
    assert (head.trial, head.head, head.seed, head.valid_loss) == (4, "full", 42, 0.5)
    assert list(head.accuracy) == ["all", "MusicArena", "Other"]
    assert numbers(head, "all") == pytest.approx(counts(TEST, column))
    for source in SOURCES:
        assert numbers(head, source) == pytest.approx(counts([p for p in TEST if p.source == source], column))
    assert head.accuracy["all"].undecided >= 2
    assert head.accuracy["all"].ties == len([p for p in TEST + TIES if p.label == "tie"])


def test_a_head_of_prompts_alone_is_undecided_on_every_pair(
    folder: RunFolder, dataset: Dataset, store: FeatureStore
) -> None:
    head_of_column(0, (WORDS.block,)).save(folder.heads / "0")
    (head,) = measured(folder, dataset, store, [row(0, "A3", 1)])
    for found in head.accuracy.values():
        assert (found.value, found.undecided, found.correct) == (0.5, found.n_decisive, 0)


def test_heads_that_failed_or_whose_weights_are_elsewhere_are_left_out(
    folder: RunFolder, dataset: Dataset, store: FeatureStore
) -> None:
    for trial in (0, 1):
        head_of_column(trial).save(folder.heads / str(trial))
    rows = [row(0, "full", 1, "failed"), row(1, "A1", 1), row(2, "A2", 1), row(3, "K=3", 0)]
    assert [head.trial for head in measured(folder, dataset, store, rows)] == [1]


@pytest.fixture(params=[LATER, [*TEST, *LATER]], ids=["later", "test pairs and later"])
def increment(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A file of later battles; pairs of the test split that it lists too are no part of what is added or measured."""
    (tmp_path / "increment.json").write_text(json.dumps({"new_uuids": [pair.id for pair in request.param]}))
    return str(tmp_path / "increment.json")


def test_a_head_of_the_k_sweep_is_measured_on_the_later_battles_of_its_seed(
    folder: RunFolder, dataset: Dataset, store: FeatureStore, increment: str
) -> None:
    rows = [row(seed, f"K={seed}", seed) for seed in range(SEEDS)] + [row(9, "full", 42)]
    for found in rows:
        head_of_column(0).save(folder.heads / str(found["trial"]))
    *swept, full = measured(folder, dataset, store, rows, increment=increment)
    assert numbers(full, "all") == pytest.approx(counts(TEST, 0))
    for head in swept:
        _, test = k_split([pair.id for pair in LATER], head.seed)
        expected = counts([pair for pair in LATER if pair.id in test], 0)
        assert numbers(head, "all") == numbers(head, "MusicArena") == pytest.approx(expected)
        assert set(head.accuracy) == {"all", "MusicArena", "earlier test pairs"}
        assert numbers(head, "earlier test pairs") == pytest.approx(counts(TEST, 0))
    assert len({numbers(head, "all") for head in swept}) > 1


def test_without_test_pairs_only_the_k_sweep_is_measured(folder: RunFolder, tmp_path: Path, increment: str) -> None:
    store = make_store(tmp_path / "store", [pair(0, "train"), *LATER, pair(3, "test", "Other", "o")])
    dataset = load_dataset(store, DataConfig())
    assert dataset.decisive("test") == 0
    for trial in (0, 1):
        head_of_column(trial).save(folder.heads / str(trial))
    found = measured(folder, dataset, store, [row(0, "full", 42), row(1, "K=0", 0)], increment=increment)
    assert [head.head for head in found] == ["K=0"]


def test_a_line_of_a_head_is_json_that_says_all_of_it(folder: RunFolder, dataset: Dataset, store: FeatureStore) -> None:
    head_of_column(0).save(folder.heads / "4")
    (head,) = measured(folder, dataset, store, [row(4, "full", 42)])
    line = json.loads(json.dumps(head.line()))
    assert {name: line[name] for name in ("trial", "head", "seed", "valid_loss")} == {
        "trial": 4,
        "head": "full",
        "seed": 42,
        "valid_loss": 0.5,
    }
    assert line["accuracy"]["Other"] == head.accuracy["Other"]._asdict()
