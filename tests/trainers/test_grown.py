"""Training on a dataset that grew: the same matrices and pairs as of one store, and a head of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sealed_store import TOY, WORDS, seal, toy_pairs, toy_values

from trainers.config import RunConfig
from trainers.data import Dataset, load_dataset
from trainers.recipe import DataConfig, TrainConfig
from trainers.training import train
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.pairs import Pair
from tunejury_jax.store import FeatureStore, grow

CONFIG = TrainConfig(widths=(4,), max_epochs=2, batch_size=16)


def pairs_of(seed: int, values: dict[str, np.ndarray], source: str) -> list[Pair]:
    """So many pairs that every clip is heard: a row of `values` each."""
    return [replace(pair, id=f"{source}-{pair.id}", source=source) for pair in toy_pairs(values["toy"], 200, seed)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two parts of a dataset, and a store of all of it: clip keys sort by source, as the parts do."""
    folder = tmp_path_factory.mktemp("stores")
    first, second = toy_values(20, seed=0), toy_values(20, seed=1)
    early, late = pairs_of(0, first, "Alpha"), pairs_of(1, second, "Beta")
    for name, pairs, values in (("early", early, first), ("late", late, second)):
        seal(folder / "data" / name, pairs, (TOY, WORDS), values, {"toy": {2: "lost"}})
        grow(str(folder / "data"), str(folder / "data" / name))
    both = {"toy": np.concatenate([first["toy"], second["toy"]]), "words": first["words"]}
    seal(folder / "whole", early + late, (TOY, WORDS), both, {"toy": {2: "lost", 22: "lost"}})
    return folder


def loaded(location: Path, **options: tuple[str, ...]) -> Dataset:
    return load_dataset(FeatureStore.open_sealed(str(location)), DataConfig(**options))


@pytest.mark.parametrize("zeroed", [(), ("Beta",)])
def test_a_dataset_loads_as_one_store_of_the_same_clips(folder: Path, zeroed: tuple[str, ...]) -> None:
    grown, whole = (loaded(folder / name, zero_prompt_sources=zeroed) for name in ("data", "whole"))
    assert np.array_equal(grown.arrays.clip[0], whole.arrays.clip[0])
    assert np.array_equal(grown.arrays.index[:, :2], whole.arrays.index[:, :2])
    assert np.array_equal(grown.arrays.target, whole.arrays.target)
    assert (grown.ids, grown.sources) == (whole.ids, whole.sources)
    assert grown.skipped == whole.skipped
    assert grown.skipped["audio could not be encoded"] > 0
    for name, rows in whole.splits.items():
        assert np.array_equal(grown.splits[name], rows)
    none = np.asarray(whole.arrays.index)[:, 2] == 3
    assert np.array_equal(np.asarray(grown.arrays.index)[:, 2] == 6, none)
    words = np.asarray(grown.arrays.prompt[0])
    assert not words[6].any()


@pytest.mark.slow(reason="trains, measures and reports")
def test_a_head_is_trained_on_a_dataset(folder: Path, tmp_path: Path) -> None:
    train(RunConfig(store=str(folder / "data"), out=str(tmp_path / "run"), train=CONFIG))
    checkpoint = Checkpoint.load(tmp_path / "run" / "best")
    store = FeatureStore.open_sealed(str(folder / "data"))
    assert store.sha256 in (tmp_path / "run" / "best" / "config.json").read_text()
    assert {name: dict(p) for name, p in checkpoint.encoders.items()} == {
        name: dict(spec.provenance) for name, spec in store.plan.encoders.items()
    }
