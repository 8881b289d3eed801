"""Splits: the published lists, what they may not say, and the split by clips where there is none."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunejury_jax.pairs import Pair
from tunejury_jax.splits import assign_by_clip, assign_listed, read_split

PUBLISHED = Path(__file__).parents[2] / "../shared/data/splits"
COUNTS = {
    "MusicArena-random_split_bench_clean": (571, 54, 74),
    "MusicPrefs-random_split": (2012, 251, 252),
    "AIME-random_split": (12480, 1560, 1560),
    "SongEval-balanced_split": (2491, 246, 249),
}
NO_DATA = f"{PUBLISHED} is absent: the published split files are not part of the repository"


def pair(number: int, a: int, b: int, **fields: Any) -> Pair:
    return Pair(f"p{number}", "S", f"{a}.wav", f"{b}.wav", "a", **fields)


def graph(seed: int, clips: int, pairs: int) -> list[Pair]:
    ends = np.random.default_rng(seed).integers(clips, size=(pairs, 2)).tolist()
    return [pair(number, a, b) for number, (a, b) in enumerate(ends)]


def singletons(count: int) -> list[Pair]:
    return [pair(number, 2 * number, 2 * number + 1) for number in range(count)]


def written(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=NO_DATA)
@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
def test_published_splits_have_the_published_counts(name: str, counts: tuple[int, int, int]) -> None:
    split = read_split(PUBLISHED / f"{name}.json")
    assert Counter(split.values()) == dict(zip(("train", "valid", "test"), counts, strict=True))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=NO_DATA)
def test_the_increment_is_no_split() -> None:
    with pytest.raises(
        ValueError, match=r"increment.json: split: got 'new_uuids', accepted are 'train', 'valid', 'test'"
    ):
        read_split(PUBLISHED / "MusicArena_v2_increment.json")


def test_a_split_file_is_read(tmp_path: Path) -> None:
    document = {"metadata": {"train": ["x"]}, "train": ["a", "b"], "valid": [], "test": ["c"]}
    assert read_split(written(tmp_path / "split.json", document)) == {"a": "train", "b": "train", "c": "test"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"train": ["a"], "test": ["b", "a"]}, "pair 'a' is in split 'train' and again in 'test'"),
        ({"train": ["a", "b", "a"]}, "pair 'a' is in split 'train' and again in 'train'"),
        ({"train": [], "valid": [], "test": []}, "lists no pair ids, expected some in train, valid, test"),
        ({}, "lists no pair ids, expected some in train, valid, test"),
        ({"metadata": {}}, "lists no pair ids"),
        ({"training": ["a"]}, "split: got 'training', accepted are 'train', 'valid', 'test' (did you mean 'train'?)"),
        ({"none": ["a"]}, "split: got 'none', accepted are 'train', 'valid', 'test'"),
        ({"train": "abc"}, "train: expected a list of pair ids"),
        ({"train": ["a", 3]}, "train: expected a list of pair ids"),
        ({"train": {"a": 1}}, "train: expected a list of pair ids"),
        (["a"], "expected a JSON object, got list"),
        ("{", "not JSON: Expecting property name"),
        ("[" * 100_000, "not JSON: maximum recursion depth exceeded"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_split_file_that_is_none(tmp_path: Path, document: Any, message: str) -> None:
    path = written(tmp_path / "split.json", document)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: ')}.*{re.escape(message)}"):
        read_split(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "split.json").open("wb") as file:
        file.truncate(100 << 30)
    with pytest.raises(ValueError, match=r"split\.json: 107374182400 bytes, accepted are at most 268435456"):
        read_split(tmp_path / "split.json")


def test_listed_pairs_get_their_split_and_others_none() -> None:
    pairs = [pair(0, 0, 1), pair(1, 2, 3, split="test"), pair(2, 4, 5), pair(3, 6, 7, split="none")]
    assigned = assign_listed(pairs, {"p0": "train", "p1": "test", "unknown": "valid"})
    assert [p.split for p in assigned] == ["train", "test", "none", "none"]
    assert [replace(p, split=None) for p in assigned] == [replace(p, split=None) for p in pairs]


@pytest.mark.parametrize(("listed", "named"), [({"p0": "train"}, "train"), ({}, "none")])
def test_record_and_list_must_agree(listed: dict[str, Any], named: str) -> None:
    message = f"split: pair 'p0' is in 'valid' by its record and in '{named}' by the list"
    with pytest.raises(ValueError, match=message):
        assign_listed([pair(0, 0, 1, split="valid")], listed)


@pytest.mark.parametrize("clips", [30, 100, 300, 2000])
@pytest.mark.parametrize("seed", range(5))
def test_no_clip_is_in_two_splits(seed: int, clips: int) -> None:
    splits: dict[str, set[Any]] = {}
    for p in assign_by_clip(graph(seed, clips, pairs=150), seed):
        for clip in (p.clip_a, p.clip_b):
            splits.setdefault(clip.key, set()).add(p.split)
    assert all(len(found) == 1 for found in splits.values())


def test_the_law_above_is_not_empty() -> None:
    assigned = assign_by_clip(graph(0, clips=300, pairs=150))
    assert {p.split for p in assigned} == {"train", "valid", "test"}
    assert max(Counter(clip for p in assigned for clip in (p.clip_a, p.clip_b)).values()) > 2


def test_pairs_joined_through_others_stay_together() -> None:
    chain = [pair(number, number, number + 1) for number in np.random.default_rng(0).permutation(500).tolist()]
    assert len({p.split for p in assign_by_clip(chain)}) == 1


@pytest.mark.parametrize("seed", range(5))
def test_neither_the_order_nor_the_side_matters(seed: int) -> None:
    pairs = graph(seed, clips=200, pairs=150)
    expected = {p.id: p.split for p in assign_by_clip(pairs)}
    shuffled = [pairs[i] for i in np.random.default_rng(seed + 100).permutation(len(pairs))]
    swapped = [replace(p, audio_a=p.audio_b, audio_b=p.audio_a) for p in shuffled]
    assert {p.id: p.split for p in assign_by_clip(swapped)} == expected
    assert [p.id for p in assign_by_clip(shuffled)] == [p.id for p in shuffled]


def test_neither_ids_nor_labels_matter() -> None:
    pairs = graph(0, clips=200, pairs=150)
    others = [replace(p, id=f"x{p.id}", label="tie", prompt="y") for p in pairs]
    assert [p.split for p in assign_by_clip(others)] == [p.split for p in assign_by_clip(pairs)]


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_near_80_10_10(seed: int) -> None:
    shares = Counter(p.split for p in assign_by_clip(singletons(4000), seed))
    for split, share in {"train": 0.8, "valid": 0.1, "test": 0.1}.items():
        assert abs(shares[split] / 4000 - share) < 0.025  # 4 standard deviations


def test_another_seed_is_another_split() -> None:
    one, other = (assign_by_clip(singletons(200), seed) for seed in (0, 1))
    assert one != other
    assert one == assign_by_clip(singletons(200), 0)


def test_spans_of_one_file_are_clips_of_their_own() -> None:
    pairs = [pair(n, 0, 0, span_a=(float(n), n + 0.5), span_b=(n + 0.5, n + 1.0)) for n in range(200)]
    assert {p.split for p in assign_by_clip(pairs)} == {"train", "valid", "test"}
