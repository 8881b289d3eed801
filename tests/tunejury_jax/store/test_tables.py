"""Tables: which row is which clip and prompt, there and back through parquet, and what is refused."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from store_factory import make_pairs

from tunejury_jax.pairs import LABELS, SPLITS, Pair
from tunejury_jax.store import StoreError
from tunejury_jax.store.tables import PAIR_COLUMNS, Tables, parse_clips, parse_rows

PAIRS = [
    Pair("1", "Beta", "b.wav", "a.wav", "tie", prompt="piano", split="test"),
    Pair("2", "Alpha", "a.wav", "a.wav", "a", prompt=" \n", span_a=(0.0, 0.1), span_b=(0.1, 2.0)),
    Pair("3", "Beta", "a.wav", "c/ü #1.wav", "both_bad", prompt="Piano", split="none", confidence=0.1, rater="r"),
    Pair("4", "Alpha", "a.wav", "b.wav", "b", prompt="piano", split="train", lyrics="[verse]\n🎹", system_b="x"),
]


def shuffled(pairs: list[Pair], seed: int) -> list[Pair]:
    return [pairs[row] for row in np.random.default_rng(seed).permutation(len(pairs))]


def test_rows_are_sorted_keys_and_prompts() -> None:
    tables = Tables.of(PAIRS)
    assert [clip.key for clip in tables.clips] == [
        "Alpha/a.wav",
        "Alpha/a.wav#t=0,0.1",
        "Alpha/a.wav#t=0.1,2",
        "Alpha/b.wav",
        "Beta/a.wav",
        "Beta/b.wav",
        "Beta/c/ü #1.wav",
    ]
    assert tables.prompts == ("Piano", "piano")
    assert tables.sources == ("Beta", "Alpha")


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_pairs_does_not_move_clips_and_prompts(seed: int) -> None:
    pairs = make_pairs(40, 7)
    expected, found = Tables.of(pairs), Tables.of(shuffled(pairs, seed))
    assert (found.clips, found.prompts) == (expected.clips, expected.prompts)


@pytest.mark.parametrize("pairs", [PAIRS, make_pairs(40, 7), make_pairs(5, 0)], ids=["odd", "many", "no prompts"])
def test_integers_point_at_what_the_pairs_say(pairs: list[Pair]) -> None:
    tables = Tables.of(pairs)
    arrays = tables.arrays()
    for pair, (a, b, prompt) in zip(pairs, arrays.index.tolist(), strict=True):
        assert (tables.clips[a], tables.clips[b]) == (pair.clip_a, pair.clip_b)
        assert prompt == -1 if not pair.prompt.strip() else tables.prompts[prompt] == pair.prompt
    assert [LABELS[code] for code in arrays.label] == [pair.label for pair in pairs]
    assert [SPLITS[code] for code in arrays.split] == [pair.split or "none" for pair in pairs]
    assert [tables.sources[code] for code in arrays.source] == [pair.source for pair in pairs]
    assert [array.dtype for array in arrays] == [np.int32, np.uint8, np.uint8, np.uint8]


def test_parquet_gives_everything_back() -> None:
    tables = Tables.of(PAIRS)
    files = tables.to_parquet()
    assert sorted(files) == ["clips", "pairs", "prompts"]
    assert parse_clips(files["clips"]) == tables.clips
    assert tuple(row["text"] for row in parse_rows("prompts", files["prompts"], ["text"])) == tables.prompts
    assert parse_rows("pairs", files["pairs"], ["pair_id", *PAIR_COLUMNS]) == tables.records()


def test_no_prompts_are_an_empty_table() -> None:
    tables = Tables.of(make_pairs(4, 0))
    assert tables.specs()["prompt"].rows == 0
    assert parse_rows("prompts", tables.to_parquet()["prompts"], ["text"]) == []
    assert (tables.arrays().index[:, 2] == -1).all()


def test_the_same_pairs_have_the_same_digests() -> None:
    assert Tables.of(PAIRS).specs() == Tables.of(list(PAIRS)).specs()


@pytest.mark.parametrize(
    ("changes", "tables"),
    [
        ({"audio_b": "d.wav"}, {"clip", "pair"}),
        ({"span_b": (0.1, 2.5)}, {"clip"}),
        ({"prompt": "violin"}, {"prompt", "pair"}),
        ({"id": "5"}, {"pair"}),
        ({"label": "b"}, {"pair"}),
        ({"split": "valid"}, {"pair"}),
        ({"system_a": "y"}, {"pair"}),
        ({"lyrics": "la"}, {"pair"}),
        ({"question": "?"}, {"pair"}),
        ({"confidence": 0.5}, {"pair"}),
        ({"rater": "s"}, {"pair"}),
        ({"time": "noon"}, {"pair"}),
    ],
)
def test_every_field_is_in_a_digest(changes: dict[str, Any], tables: set[str]) -> None:
    before = Tables.of(PAIRS).specs()
    after = Tables.of([PAIRS[0], replace(PAIRS[1], **changes), *PAIRS[2:]]).specs()
    assert {name for name in before if before[name] != after[name]} == tables


def test_the_order_of_pairs_is_in_the_digest() -> None:
    before, after = Tables.of(PAIRS).specs(), Tables.of(PAIRS[::-1]).specs()
    assert {name for name in before if before[name] != after[name]} == {"pair"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Pair("1", "A/x", "a.wav", "b.wav", "a"), Pair("2", "A", "x/a.wav", "b.wav", "a")),
        (Pair("1", "A", "a.wav#t=0,1", "b.wav", "a"), Pair("2", "A", "a.wav", "b.wav", "a", span_a=(0.0, 1.0))),
    ],
)
def test_two_clips_of_one_name_are_refused(one: Pair, other: Pair) -> None:
    message = f"clips: {other.clip_a} and {one.clip_a} would both be {one.clip_a.key!r}"
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        Tables.of([one, other])


def test_a_clip_may_be_in_many_pairs_and_twice_in_one() -> None:
    assert len(Tables.of([Pair(str(n), "A", "a.wav", "a.wav", "tie") for n in range(3)]).clips) == 1


@pytest.mark.parametrize("name", ["clips", "prompts", "pairs"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "other"])
def test_a_damaged_file_is_refused(name: str, damage: str) -> None:
    data = Tables.of(PAIRS).to_parquet()[name]
    other = Tables.of(PAIRS).to_parquet()["prompts" if name != "prompts" else "clips"]
    content = {"empty": b"", "truncated": data[: len(data) // 2], "garbage": b"x" * 1000, "other": other}[damage]
    columns = {"clips": ["source", "path"], "prompts": ["text"], "pairs": ["pair_id", *PAIR_COLUMNS]}[name]
    with pytest.raises(StoreError, match=f"^tables/{name}: not readable: "):
        parse_rows(name, content, columns)


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(StoreError, match=r"tables/clips: not readable: .*begin"):
        parse_rows("clips", Tables.of(PAIRS).to_parquet()["clips"], ["source", "begin"])
