"""Clips and prompts that some encoder failed on take no pair from heads that do not see what it makes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_close
from sealed_store import EXTRA, TOY, WORDS, seal, toy_pairs, toy_values

from trainers.data import Dataset, load_dataset
from trainers.evaluation import evaluate
from trainers.executors import Sequential
from trainers.fit import EpochRow, Fit, fit
from trainers.margins import head_margins
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.results import release
from trainers.view import view_all
from tunejury_jax.pairs import Pair, Split
from tunejury_jax.store import FeatureStore

VALUES = toy_values(80)
PAIRS = toy_pairs(VALUES["toy"], 240)
PROMPTS = ("a choir", "calm piano", "fast drums")
FAILED = {"toy": dict.fromkeys((1, 5, 9, 13, 44, 48, 52), "truncated"), "words": {2: "not a text"}}
TRAIN = TrainConfig(learning_rate=2e-2, dropout=0.1, widths=(6,), batch_size=16, max_epochs=4, patience=4)
EVERY, OTHERS = DataConfig(), DataConfig(blocks=("extra",))
AUDIO, TEXT = DataConfig(blocks=("extra", "toy")), DataConfig(blocks=("extra", "words"))
HEADS = [EVERY, OTHERS, AUDIO, TEXT]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return seal(tmp_path_factory.mktemp("damaged") / "store", PAIRS, (EXTRA, TOY, WORDS), VALUES, FAILED)


@pytest.fixture(scope="module")
def dataset(store: FeatureStore) -> Dataset:
    return load_dataset(store, DataConfig())


def lost(pair: Pair, data: DataConfig) -> bool:
    """Whether a block that a head sees failed for a pair."""
    seen = data.blocks or ("extra", "toy", "words")
    clips = {int(audio.removesuffix(".wav")) for audio in (pair.audio_a, pair.audio_b)}
    silent = "words" in seen and pair.prompt and PROMPTS.index(pair.prompt) in FAILED["words"]
    return bool(silent or ("toy" in seen and clips & FAILED["toy"].keys()))


def usable(split: Split, data: DataConfig) -> list[str]:
    return [pair.id for pair in PAIRS if pair.split == split and not lost(pair, data)]


def fitted(data: Sequence[DataConfig], dataset: Dataset) -> list[tuple[Fit, list[EpochRow]]]:
    """Fits and epochs of the heads of one population."""
    rows: list[EpochRow] = []
    recipes = {number: Recipe(TRAIN, one) for number, one in enumerate(data)}
    fits = dict(fit(recipes, dataset, rows.append, executor=Sequential))
    return [(fits[number], [row._replace(head=0) for row in rows if row.head == number]) for number in recipes]


def bits(found: tuple[Fit, list[EpochRow]]) -> Any:
    """All that training came to, but for its seconds."""
    one, rows = found
    weights = [leaf.tobytes() for leaf in jax.tree.leaves(one.variables)]
    return weights, rows, one._replace(variables=None, seconds=0.0)


def test_a_head_is_given_all_pairs_of_which_its_own_blocks_are_there(dataset: Dataset) -> None:
    pairs, views = view_all(dataset, HEADS)
    for view, data in zip(views, HEADS, strict=True):
        for split, rows, mask in (("train", pairs.train, view.train), ("valid", pairs.valid, view.valid)):
            assert [dataset.ids[row] for row in np.asarray(rows)[np.asarray(mask)]] == usable(split, data)
    for split in ("train", "valid", "test"):
        counts = {len(usable(split, data)) for data in HEADS}
        assert len(counts) == len(HEADS)  # every head is given other pairs, so that mixing them up would be seen


def test_a_head_fares_bit_for_bit_as_without_another_that_is_given_fewer_pairs(dataset: Dataset) -> None:
    alone = bits(fitted([OTHERS], dataset)[0])
    for other in HEADS:
        assert bits(fitted([OTHERS, other], dataset)[0]) == alone
        assert bits(fitted([other, OTHERS], dataset)[1]) == alone


@pytest.mark.parametrize("data", HEADS, ids=str)
def test_a_head_trains_bit_for_bit_as_without_others_that_are_given_more_pairs(
    dataset: Dataset, data: DataConfig
) -> None:
    (alone,) = fitted([data], dataset)
    for other in HEADS:
        for found in (fitted([data, other], dataset)[0], fitted([other, data], dataset)[1]):
            assert bits(found)[0] == bits(alone)[0]
            assert [row.train_loss for row in found[1]] == [row.train_loss for row in alone[1]]
            assert (found[0].state, found[0].best_epoch) == (alone[0].state, alone[0].best_epoch)
            assert_close(np.float32([row[3:] for row in found[1]]), np.float32([row[3:] for row in alone[1]]))


@pytest.mark.parametrize("data", HEADS, ids=str)
def test_a_head_trains_on_the_pairs_that_are_lost_to_others_and_on_none_that_is_lost_to_it(
    dataset: Dataset, data: DataConfig
) -> None:
    found = bits(fitted([data], dataset)[0])
    own, fewest = (without(dataset, lambda pair, data=data: lost(pair, data)) for data in (data, EVERY))
    assert bits(fitted([data], own)[0]) == found
    assert (bits(fitted([data], fewest)[0]) == found) == (data == EVERY)


def without(dataset: Dataset, left_out: Any) -> Dataset:
    """As if some pairs had no answer, and all others were encoded."""
    answered = np.array([not left_out(pair) for pair in PAIRS])
    encoded = dict.fromkeys(dataset.encoded, np.ones(len(PAIRS), bool))
    return replace(dataset, labelled=dataset.labelled & answered, encoded=encoded)


def altered(dataset: Dataset) -> Dataset:
    """With other numbers for all that could not be encoded, instead of the zeros that stand for it."""
    extra, toy = map(np.array, dataset.arrays.clip)
    (words,) = map(np.array, dataset.arrays.prompt)
    for values, name in ((toy, "toy"), (words, "words")):
        assert not values[[*FAILED[name]]].any()
        values[[*FAILED[name]]] = 7.0
    clip, prompt = (jnp.asarray(extra), jnp.asarray(toy)), (jnp.asarray(words),)
    return replace(dataset, arrays=dataset.arrays._replace(clip=clip, prompt=prompt))


def test_what_stands_for_a_failed_clip_or_prompt_changes_no_head(dataset: Dataset) -> None:
    assert [*map(bits, fitted(HEADS, altered(dataset)))] == [*map(bits, fitted(HEADS, dataset))]


@pytest.mark.parametrize("data", HEADS, ids=str)
def test_a_head_is_measured_on_pairs_that_only_other_blocks_failed_on(
    dataset: Dataset, store: FeatureStore, data: DataConfig
) -> None:
    fits = fitted([data, EVERY], dataset)
    checkpoint = release(fits[0][0], dataset, store)
    seen = dataset.seen_by(checkpoint.layout)
    rows = seen.pairs("test")
    assert [dataset.ids[row] for row in rows] == usable("test", data)
    margins = head_margins(checkpoint, dataset, rows)
    a, b = (checkpoint.score(jnp.asarray(inputs(pair, side, data))) for pair, side in sides(rows))
    np.testing.assert_allclose(margins, np.asarray(a, np.float64) - np.asarray(b, np.float64), atol=2e-5)
    assert len(np.unique(margins)) > len(rows) // 2
    np.testing.assert_array_equal(head_margins(checkpoint, altered(dataset), rows), margins)
    measured = evaluate(checkpoint, load_dataset(store, DataConfig(), checkpoint.layout), store, "test")
    assert [*measured.pair_ids] == usable("test", data)
    np.testing.assert_array_equal(measured.margins, margins)


def sides(rows: np.ndarray) -> list[tuple[list[Pair], int]]:
    return [([PAIRS[row] for row in rows], side) for side in (0, 1)]


def inputs(pairs: Sequence[Pair], side: int, data: DataConfig) -> np.ndarray:
    """One side of some pairs, column by column, from what was written into the store."""
    clips = [int((pair.audio_a, pair.audio_b)[side].removesuffix(".wav")) for pair in pairs]
    texts = [VALUES["words"][PROMPTS.index(pair.prompt)] if pair.prompt else np.zeros(4) for pair in pairs]
    groups = {"extra": VALUES["extra"][clips].astype(np.float16), "toy": VALUES["toy"][clips], "words": texts}
    kept = [np.asarray(groups[name], np.float32) for name in groups if name in data.blocks or not data.blocks]
    return np.concatenate(kept, axis=1)
