"""From a store to arrays: every pair against a plain loop over its record, and what is left out and counted."""

from collections import Counter

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from sealed_store import EXTRA, FACTS, TOY, WORDS, seal, toy_values

from trainers.data import load_dataset
from trainers.recipe import DataConfig
from trainers.view import View, gather
from tunejury_jax.blocks import Layout
from tunejury_jax.pairs import SPLITS, Pair

ROW = {"Alpha/0.wav": 0, "Alpha/1.wav": 1, "Alpha/2.wav": 2, "Beta/0.wav": 3, "Beta/1.wav": 4}
PROMPTS = ("calm", "fast")
RECORDS = [
    ("Alpha", "0", "1", "a", "calm", "train"),
    ("Alpha", "1", "2", "b", "fast", "train"),
    ("Alpha", "2", "0", "tie", "", "train"),
    ("Beta", "0", "1", "a", "fast", "train"),
    ("Beta", "1", "0", "both_bad", "calm", "valid"),
    ("Beta", "1", "0", "b", " ", "valid"),
    ("Alpha", "0", "2", "b", "calm", "test"),
    ("Alpha", "1", "0", "a", "calm", "none"),
    ("Beta", "0", "1", "both_bad", "fast", "none"),
    ("Alpha", "2", "1", "b", "fast", "none"),
    ("Alpha", "2", "1", "both_bad", "", "train"),
]
PAIRS = [
    Pair(f"p{n}", source, f"{a}.wav", f"{b}.wav", label, prompt=prompt, split=split)
    for n, (source, a, b, label, prompt, split) in enumerate(RECORDS)
]
SPECS = (WORDS, TOY, FACTS, EXTRA)  # not in the order of a layout
VALUES = toy_values(5, prompts=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return seal(tmp_path_factory.mktemp("store"), PAIRS, SPECS, VALUES)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A store whose clip Alpha/2.wav could not be encoded by `toy`."""
    location = tmp_path_factory.mktemp("damaged")
    return seal(location, PAIRS, SPECS, VALUES, failed={"toy": {2: "truncated"}, "signal": {2: "truncated"}})


def expected_rows(pair, blocks=("extra", "toy", "words"), zeroed=()):
    """The two rows of a pair, column by column, as the definitions say."""
    sides = []
    for clip in (pair.audio_a, pair.audio_b):
        row = []
        for block in blocks:
            values = VALUES[block].astype(np.float16 if block == "extra" else np.float32)
            if block == "words":
                silent = not pair.prompt.strip() or pair.source in zeroed
                row += [0.0] * 4 if silent else values[PROMPTS.index(pair.prompt)].tolist()
            else:
                row += values[ROW[f"{pair.source}/{clip}"]].tolist()
        sides.append(row)
    return np.float32(sides)


def gathered(dataset, rows, keep=None):
    """Features of both sides as one matrix, the blocks in the order of the layout."""
    names, nothing = dataset.layout.names, jnp.zeros(0, bool)
    blocks = jnp.array([keep is None or name in keep for name in names])
    view = View(blocks, jnp.ones(len(dataset.ids), bool), nothing, nothing)
    groups = jax.jit(gather)(dataset.arrays, jnp.asarray(rows), view)
    return np.concatenate([np.broadcast_to(group, (2, *group.shape[-2:])) for group in groups], axis=-1)


@pytest.mark.parametrize("blocks", [(), ("toy",), ("words",), ("words", "extra"), ("extra", "toy", "words")])
@pytest.mark.parametrize("zeroed", [(), ("Beta",), ("Alpha", "Beta")])
def test_gathered_features_are_those_of_each_record(store, blocks, zeroed):
    dataset = load_dataset(store, DataConfig(blocks=blocks, zero_prompt_sources=zeroed))
    names = tuple(sorted(blocks or ("extra", "toy", "words")))
    assert dataset.layout.names == names
    found = gathered(dataset, np.arange(len(PAIRS)))
    for number, pair in enumerate(PAIRS):
        np.testing.assert_array_equal(found[:, number], expected_rows(pair, names, zeroed))


def test_every_block_has_a_matrix_with_a_row_each_and_prompts_a_row_of_none(store):
    clip, prompt, index, _ = load_dataset(store, DataConfig(zero_prompt_sources=("Beta",))).arrays
    assert [block.shape for block in clip] == [(5, 3), (5, 8)]
    assert [block.shape for block in prompt] == [(3, 4)]
    assert not prompt[0][2].any()
    assert np.asarray(index[:, 2]).tolist() == [0, 1, 2, 2, 2, 2, 0, 0, 2, 1, 2]


def test_ids_are_those_of_the_records(store):
    assert load_dataset(store, DataConfig(blocks=("toy",))).ids == tuple(pair.id for pair in PAIRS)


FAILED = {"toy": {2: "truncated"}, "extra": {3: "truncated"}, "words": {1: "not a text"}}


@pytest.fixture(scope="module")
def ruined(tmp_path_factory):
    """A store of which each block failed for a clip, or a prompt, of its own."""
    return seal(tmp_path_factory.mktemp("ruined"), PAIRS, SPECS, VALUES, failed=FAILED)


def unread(pair, names):
    """The blocks among these that failed for a pair."""
    row_of = {"words": [PROMPTS.index(pair.prompt)] if pair.prompt.strip() else []}
    clips = [ROW[f"{pair.source}/{clip}"] for clip in (pair.audio_a, pair.audio_b)]
    return [name for name in names if set(row_of.get(name, clips)) & set(FAILED[name])]


def test_what_failed_is_known_of_every_block_and_pair(ruined):
    dataset = load_dataset(ruined, DataConfig())
    assert list(dataset.encoded) == ["extra", "toy", "words"]
    for name, found in dataset.encoded.items():
        assert found.tolist() == [not unread(pair, [name]) for pair in PAIRS]
        assert 0 < found.sum() < len(PAIRS)
    assert dataset.labelled.tolist() == [pair.label != "both_bad" for pair in PAIRS]
    assert dataset.split.tolist() == [SPLITS.index(pair.split) for pair in PAIRS]


@pytest.mark.parametrize("blocks", [("toy",), ("words",), ("extra", "words"), ("extra", "toy", "words")])
def test_only_what_failed_in_blocks_that_a_layout_sees_is_not_used_and_is_counted_once(ruined, blocks):
    whole, own = load_dataset(ruined, DataConfig()), load_dataset(ruined, DataConfig(blocks=blocks))
    seen, counts = whole.seen_by(own.layout), Counter()
    assert whole.splits["train"].tolist() == [0]  # which must not stay so in what is seen of it
    for pair in PAIRS:
        failed = unread(pair, blocks)
        bad, clips = pair.label == "both_bad", set(failed) & {"toy", "extra"}
        reason = "audio could not be encoded" if clips else "prompt could not be encoded" if failed else "in no split"
        counts["both clips found bad" if bad else reason] += bad or bool(failed) or pair.split == "none"
    for split in SPLITS:
        of_split = [n for n, pair in enumerate(PAIRS) if pair.split == split and pair.label != "both_bad"]
        usable = [n for n in of_split if not unread(PAIRS[n], blocks)]
        assert seen.splits[split].tolist() == own.splits[split].tolist() == usable
        assert seen.decisive(split) == own.decisive(split) == sum(PAIRS[n].label != "tie" for n in usable)
    assert seen.skipped == own.skipped == {reason: count for reason, count in counts.items() if count}


@pytest.mark.parametrize("blocks", [("toy",), ("words",), ("extra", "words"), ("extra", "toy", "words")])
def test_what_a_layout_sees_of_a_data_set_is_a_data_set_of_its_blocks(store, blocks):
    whole, own = load_dataset(store, DataConfig()), load_dataset(store, DataConfig(blocks=blocks))
    seen = whole.seen_by(own.layout)
    assert (seen.layout, list(seen.encoders.items())) == (own.layout, list(own.encoders.items()))
    assert [block.shape for block in seen.arrays.clip] == [block.shape for block in own.arrays.clip]
    assert (seen.ids, seen.skipped) == (whole.ids, whole.skipped)
    rows = np.arange(len(PAIRS))
    np.testing.assert_array_equal(gathered(seen, rows), gathered(own, rows))


def test_a_layout_of_a_block_that_is_not_there_is_refused(store):
    with pytest.raises(ValueError, match="blocks: got 'words', accepted are 'extra', 'toy'"):
        load_dataset(store, DataConfig(blocks=("toy", "extra"))).seen_by(Layout.of([WORDS.block]))


def test_columns_of_blocks_that_a_head_does_not_see_are_zero(store):
    dataset = load_dataset(store, DataConfig())
    found = gathered(dataset, np.array([0, 3]), keep=["toy"])
    toy = dataset.layout.columns("toy")
    np.testing.assert_array_equal(found[:, 1, toy], expected_rows(PAIRS[3])[:, toy])
    assert not np.delete(found, np.arange(toy.start, toy.stop), axis=-1).any()


def test_file_facts_are_no_features(store):
    assert "signal" not in load_dataset(store, DataConfig()).layout.names
    with pytest.raises(ValueError, match="blocks: got 'signal', accepted are 'extra', 'toy', 'words'"):
        load_dataset(store, DataConfig(blocks=("toy", "signal")))


def test_encoders_are_those_of_the_layout_in_its_order(store):
    dataset = load_dataset(store, DataConfig(blocks=("words", "toy")))
    assert list(dataset.encoders.items()) == [("toy", TOY), ("words", WORDS)]


def test_a_given_layout_overrides_the_blocks(store):
    layout = Layout.of([TOY.block])
    assert load_dataset(store, DataConfig(blocks=("words",)), layout).layout == layout


def test_targets_are_the_labels(store):
    dataset = load_dataset(store, DataConfig())
    targets = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": np.nan}
    np.testing.assert_array_equal(dataset.arrays.target, np.float32([targets[p.label] for p in PAIRS]))


@pytest.mark.parametrize(
    ("as_tie", "valid", "skipped"), [(False, [5], {"both clips found bad": 3}), (True, [4, 5], {})]
)
def test_both_bad_is_dropped_and_counted_or_a_tie(store, as_tie, valid, skipped):
    dataset = load_dataset(store, DataConfig(both_bad_as_tie=as_tie))
    assert dataset.pairs("valid").tolist() == valid
    assert dataset.skipped == skipped | {"in no split": 3 if as_tie else 2}
    assert np.isfinite(np.asarray(dataset.arrays.target)[dataset.pairs("valid")]).all()
    assert not as_tie or dataset.arrays.target[4] == 0.5


def test_splits_are_those_of_the_records(store):
    dataset = load_dataset(store, DataConfig())
    for split in SPLITS:
        usable = [n for n, p in enumerate(PAIRS) if p.split == split and p.label != "both_bad"]
        assert dataset.pairs(split).tolist() == usable
    assert [dataset.sources[code] for code in dataset.source] == [pair.source for pair in PAIRS]


def test_decisive_pairs_are_counted(store):
    counts = {split: load_dataset(store, DataConfig()).decisive(split) for split in SPLITS}
    assert counts == {"train": 3, "valid": 1, "test": 1, "none": 2}


def test_pairs_of_a_failed_clip_are_dropped_and_counted(damaged):
    dataset = load_dataset(damaged, DataConfig())
    assert dataset.pairs("train").tolist() == [0, 3]
    assert dataset.skipped == {"both clips found bad": 3, "audio could not be encoded": 4, "in no split": 1}
    assert all(np.isfinite(block).all() for block in dataset.arrays.clip)
    found = gathered(dataset, dataset.pairs("train"))
    np.testing.assert_array_equal(found[:, 0], expected_rows(PAIRS[0]))


def test_pairs_of_a_failed_prompt_are_dropped_and_counted_unless_it_is_not_read(tmp_path):
    store = seal(tmp_path / "store", PAIRS, SPECS, VALUES, failed={"words": {1: "not a text"}})
    dataset = load_dataset(store, DataConfig())
    assert dataset.pairs("train").tolist() == [0, 2]
    assert dataset.skipped == {"both clips found bad": 3, "prompt could not be encoded": 3, "in no split": 1}
    assert load_dataset(store, DataConfig(zero_prompt_sources=("Beta",))).pairs("train").tolist() == [0, 2, 3]
    assert load_dataset(store, DataConfig(blocks=("toy",))).pairs("train").tolist() == [0, 1, 2, 3]


def test_a_clip_that_only_unused_encoders_failed_on_is_used(damaged):
    dataset = load_dataset(damaged, DataConfig(blocks=("extra",)))
    assert dataset.pairs("train").tolist() == [0, 1, 2, 3]
    assert "audio could not be encoded" not in dataset.skipped


def test_a_split_without_usable_pairs_says_what_there_is(damaged):
    message = r"split: 'test' has no usable pairs; the store has \{'train': 2, 'valid': 1, 'test': 0, 'none': 1\}, "
    with pytest.raises(ValueError, match=message + r"skipped \{.*'audio could not be encoded': 4"):
        load_dataset(damaged, DataConfig()).pairs("test")


def test_unknown_names_are_refused_with_what_there_is(store, monkeypatch):
    dataset = load_dataset(store, DataConfig())
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # which would refuse a split first
    with pytest.raises(ValueError, match=r"blocks: got 'toi', accepted are .*did you mean 'toy'"):
        load_dataset(store, DataConfig(blocks=("toi",)))
    with pytest.raises(ValueError, match=r"zero_prompt_sources: got 'alpha', accepted are 'Alpha', 'Beta'"):
        load_dataset(store, DataConfig(zero_prompt_sources=("alpha",)))
    with pytest.raises(ValueError, match="split: got 'dev', accepted are 'train', 'valid', 'test', 'none'"):
        dataset.pairs("dev")
