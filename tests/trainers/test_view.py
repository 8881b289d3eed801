"""What a head sees of a data set, against a plain loop over the records."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sealed_store import EXTRA, TOY, WORDS, seal, toy_values

from trainers.data import Dataset, load_dataset
from trainers.recipe import DataConfig
from trainers.view import View, gather, pool_sizes, pool_sources, shared_data, view_all, view_whole
from tunejury_jax.pairs import Pair

SOURCES = ("Alpha", "Beta", "Gamma")
SPLITS = ("train", "train", "train", "valid", "test", "none")
PROMPTS = ("", "calm", "fast")
PAIRS = [
    Pair(f"{source}-{n}", source, f"{n % 3}.wav", f"{(n + 1) % 3}.wav", "ab"[n % 2], prompt=PROMPTS[n % 3], split=split)
    for source in SOURCES
    for n, split in enumerate(SPLITS)
]
PAIRS += [Pair("bad", "Gamma", "0.wav", "2.wav", "both_bad", split="train")]
VALUES = toy_values(9, prompts=2)
BLOCKS = ("extra", "toy", "words")
UNUSED = "accepted are pairs to train on and of no split, answered and encoded$"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = seal(tmp_path_factory.mktemp("view") / "store", PAIRS, (EXTRA, TOY, WORDS), VALUES)
    return load_dataset(store, DataConfig())


def pairs_of(split: str, without: Sequence[str] = ()) -> set[str]:
    usable = (pair for pair in PAIRS if pair.label != "both_bad")
    return {pair.id for pair in usable if pair.split == split and pair.source not in without}


def pools(dataset: Dataset, *data: DataConfig) -> list[tuple[set[str], set[str]]]:
    """Ids of what each head trains on and is validated on."""
    pairs, views = view_all(dataset, data)

    def chosen(rows: Any, mask: Any) -> set[str]:
        return {dataset.ids[row] for row, seen in zip(np.asarray(rows), np.asarray(mask), strict=True) if seen}

    return [(chosen(pairs.train, view.train), chosen(pairs.valid, view.valid)) for view in views]


def features(pair: Pair, side: str, block: str, zeroed: Sequence[str]) -> np.ndarray:
    if block == "words":
        silent = not pair.prompt or pair.source in zeroed
        return np.zeros(4, np.float32) if silent else VALUES[block][("calm", "fast").index(pair.prompt)]
    row = 3 * SOURCES.index(pair.source) + int(side[0])
    return VALUES[block][row].astype(np.float16 if block == "extra" else np.float32).astype(np.float32)


SEEN = [(), ("toy",), ("words",), ("extra", "words"), BLOCKS]


@pytest.mark.parametrize("blocks", SEEN, ids=str)
@pytest.mark.parametrize("zeroed", [(), ("Beta",), SOURCES], ids=str)
def test_a_head_sees_its_blocks_of_every_pair_and_zeros_elsewhere(
    dataset: Dataset, blocks: tuple[str, ...], zeroed: tuple[str, ...]
) -> None:
    _, (view,) = view_all(dataset, [DataConfig(blocks, zero_prompt_sources=zeroed)])
    extra, toy, words = map(np.asarray, jax.jit(gather)(dataset.arrays, jnp.arange(len(PAIRS)), view))
    for number, pair in enumerate(PAIRS):
        for side, clip in enumerate((pair.audio_a, pair.audio_b)):
            found = (extra[side, number], toy[side, number], words[number])
            for block, values in zip(BLOCKS, found, strict=True):
                expected = features(pair, clip, block, zeroed) * (block in (blocks or BLOCKS))
                np.testing.assert_array_equal(values, expected)


def test_heads_of_other_views_see_the_same_in_one_call_as_alone(dataset: Dataset) -> None:
    data = [DataConfig(blocks, zero_prompt_sources=("Gamma",) * (len(blocks) == 1)) for blocks in SEEN]
    _, views = view_all(dataset, data)
    rows = jnp.array([4, 0, 7])
    stacked = jax.vmap(lambda view: gather(dataset.arrays, rows, view))(jax.tree.map(lambda *v: jnp.stack(v), *views))
    for number, view in enumerate(views):
        for together, alone in zip(stacked, gather(dataset.arrays, rows, view), strict=True):
            np.testing.assert_array_equal(together[number], alone)


def test_a_head_of_prompts_alone_gets_them_for_both_sides(dataset: Dataset) -> None:
    words = load_words(dataset)
    (found,) = gather(words.arrays, jnp.arange(len(PAIRS)), view_whole(words, ()))
    assert found.shape == (2, len(PAIRS), 4)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0, 1], VALUES["words"][0])


def load_words(dataset: Dataset) -> Dataset:
    return dataset.seen_by(type(dataset.layout)(dataset.layout.of_table("prompt")))


def test_a_head_trains_on_the_training_split_and_is_validated_on_the_other(dataset: Dataset) -> None:
    assert pools(dataset, DataConfig()) == [(pairs_of("train"), pairs_of("valid"))]


@pytest.mark.parametrize("left_out", [("Alpha",), ("Beta", "Gamma")], ids=str)
@pytest.mark.parametrize("clean", [False, True])
def test_sources_that_are_left_out_are_not_trained_on_and_on_demand_not_validated_on(
    dataset: Dataset, left_out: tuple[str, ...], clean: bool
) -> None:
    found = pools(dataset, DataConfig(leave_out=left_out, clean_valid=clean))
    assert found == [(pairs_of("train", left_out), pairs_of("valid", left_out if clean else ()))]


@pytest.mark.parametrize("added", [("Alpha-5",), ("Beta-5", "Alpha-5", "Beta-5"), ("Alpha-1",), ("Gamma-1",)], ids=str)
def test_pairs_that_are_added_are_trained_on_once_whatever_is_left_out(
    dataset: Dataset, added: tuple[str, ...]
) -> None:
    data = DataConfig(leave_out=("Alpha", "Beta"), add=added)
    expected = pairs_of("train", ("Alpha", "Beta")) | set(added)
    assert pools(dataset, data) == [(expected, pairs_of("valid"))]
    assert pool_sizes(dataset, data) == {"train": len(expected), "valid": 3}


def test_pairs_are_counted_by_source_and_split_and_those_with_a_winner_apart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = seal(tmp_path_factory.mktemp("counted") / "store", PAIRS, (EXTRA, TOY, WORDS), VALUES)
    data = DataConfig(leave_out=("Alpha",), add=("Beta-5",), both_bad_as_tie=True)
    found = pool_sources(load_dataset(store, data), data)
    each = {"pairs": 1, "decisive": 1}
    assert found == {
        "train": {"Beta": {"pairs": 4, "decisive": 4}, "Gamma": {"pairs": 4, "decisive": 3}},
        "valid": {"Alpha": each, "Beta": each, "Gamma": each},
        "test": {"Alpha": each, "Beta": each, "Gamma": each},
    }
    sizes = {split: sum(of["pairs"] for of in found[split].values()) for split in ("train", "valid")}
    assert sizes == pool_sizes(load_dataset(store, data), data)


def test_who_shares_a_population_changes_no_pool(dataset: Dataset) -> None:
    data = [DataConfig(), DataConfig(leave_out=("Alpha",), clean_valid=True), DataConfig(add=("Gamma-5",))]
    assert pools(dataset, *data) == [pools(dataset, one)[0] for one in data]
    for one, (train, valid) in zip(data, pools(dataset, *data), strict=True):
        assert pool_sizes(dataset, one) == {"train": len(train), "valid": len(valid)}


def test_rows_of_a_population_are_rising_and_no_more_than_are_needed(dataset: Dataset) -> None:
    pairs, _ = view_all(dataset, [DataConfig(leave_out=("Alpha", "Beta"), add=("Beta-5", "Alpha-5"))])
    assert [dataset.ids[row] for row in np.asarray(pairs.train)] == [
        *("Alpha-5", "Beta-5"),
        *(f"Gamma-{n}" for n in range(3)),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataConfig(blocks=("toi",)), "blocks: got 'toi', accepted are .*did you mean 'toy'"),
        (DataConfig(leave_out=("alpha",)), "leave_out: got 'alpha', accepted are 'Alpha', 'Beta', 'Gamma'"),
        (DataConfig(zero_prompt_sources=("Delta",)), "zero_prompt_sources: got 'Delta', accepted are"),
        (DataConfig(leave_out=SOURCES), r"split: 'train' has too few .*0 left without \['Alpha', 'Beta', 'Gamma'\]"),
        (DataConfig(leave_out=SOURCES, add=("Beta-5", "Beta-5")), "too few usable pairs .1 left"),
        (
            DataConfig(leave_out=SOURCES, clean_valid=True, add=("Alpha-5", "Beta-5")),
            r"clean_valid: without \['Alpha', 'Beta', 'Gamma'\] no pair is left to validate on",
        ),
        (DataConfig(add=("Beta-5", "Beta-9", "x")), "add: 2 of 3 pairs are not in the store, the first is 'Beta-9'"),
        (
            DataConfig(add=("Beta-5", "bad")),
            f"add: 1 of 2 pairs cannot be used, the first is 'bad' of split 'train'; {UNUSED}",
        ),
        (
            DataConfig(add=("Beta-5", "Beta-3", "Alpha-4")),
            f"add: 2 of 3 pairs cannot be used, the first is 'Beta-3' of split 'valid'; {UNUSED}",
        ),
        (
            DataConfig(leave_out=("Alpha",), add=("Alpha-4",)),
            f"add: 1 of 1 pairs cannot be used, the first is 'Alpha-4' of split 'test'; {UNUSED}",
        ),
    ],
)
def test_a_view_that_does_not_fit_the_data_set_is_refused(dataset: Dataset, data: DataConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        view_all(dataset, [DataConfig(), data])


@pytest.mark.parametrize("zeroed", [(), ("Beta", "Somewhere else")], ids=str)
def test_the_whole_view_has_all_blocks_and_the_prompts_of_other_sources(
    dataset: Dataset, zeroed: tuple[str, ...]
) -> None:
    view = view_whole(dataset, zeroed)
    assert np.asarray(view.blocks).all()
    assert np.asarray(view.prompted).tolist() == [pair.source not in zeroed for pair in PAIRS]


@pytest.mark.parametrize(
    ("data", "shared"),
    [
        ([DataConfig(("toy",)), DataConfig(("words", "toy"))], DataConfig(("toy", "words"))),
        ([DataConfig(("toy",)), DataConfig()], DataConfig()),
        ([DataConfig(zero_prompt_sources=("b", "a")), DataConfig(zero_prompt_sources=("a",))], ("a",)),
        ([DataConfig(zero_prompt_sources=("b", "a")), DataConfig()], ()),
        ([DataConfig(leave_out=("a",), clean_valid=True, add=("p",)), DataConfig()], DataConfig()),
        ([DataConfig(both_bad_as_tie=True)] * 2, DataConfig(both_bad_as_tie=True)),
    ],
)
def test_what_heads_share_is_what_each_of_them_can_be_viewed_in(data: list[DataConfig], shared: Any) -> None:
    expected = shared if isinstance(shared, DataConfig) else DataConfig(zero_prompt_sources=shared)
    assert shared_data(data) == expected
    assert shared_data(data[:1] + data) == expected


def test_heads_that_read_the_labels_otherwise_share_nothing() -> None:
    with pytest.raises(ValueError, match="both_bad_as_tie: differs between the heads of one run"):
        shared_data([DataConfig(), DataConfig(both_bad_as_tie=True)])


def test_a_view_in_shared_data_is_that_of_the_head_alone(tmp_path: Path) -> None:
    """Loading with another head's data changes nothing of what a head sees."""
    store = seal(tmp_path / "store", PAIRS, (EXTRA, TOY, WORDS), VALUES)
    own, other = DataConfig(("toy", "words"), zero_prompt_sources=("Beta",)), DataConfig(("extra",))
    rows = jnp.arange(len(PAIRS))
    alone, shared = (load_dataset(store, shared_data(data)) for data in ([own], [own, other]))
    views: list[View] = [view_all(dataset, [own])[1][0] for dataset in (alone, shared)]
    toy, words = gather(alone.arrays, rows, views[0])
    _, shared_toy, shared_words = gather(shared.arrays, rows, views[1])
    np.testing.assert_array_equal(shared_toy, toy)
    np.testing.assert_array_equal(shared_words, words)
