"""A dataset of parts: the rows of each, in order, moved by nothing; and what is no part of it."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sealed_store import FACTS, TOY, WORDS, seal, toy_pairs, toy_values
from store_factory import edit_json, snapshot

from tunejury_jax.pairs import Pair
from tunejury_jax.store import EncoderSpec, FeatureStore, StoreError, grow, kv, repeated_clips, seal_store, write_block

SPECS = (TOY, WORDS, FACTS)


def part(location: Path, seed: int, name: str, specs: Sequence[EncoderSpec] = SPECS) -> FeatureStore:
    """A sealed store of 20 clips; parts have the same clip keys, own pair ids and, by seed, own sources."""
    values = toy_values(20, seed=seed)
    pairs = [replace(pair, id=f"{name}-{pair.id}") for pair in toy_pairs(values["toy"], 40, seed)]
    if seed:
        pairs = [replace(pair, source={"Alpha": "Gamma"}.get(pair.source, pair.source)) for pair in pairs]
    return seal(location, pairs, specs, _by_row(pairs, values), {"toy": {3: f"lost in {name}"}})


def _by_row(pairs: Sequence[Pair], values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    clips = len({clip.key for pair in pairs for clip in (pair.clip_a, pair.clip_b)})
    return {name: rows[:clips] for name, rows in values.items()}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    part(folder / "one", 0, "one")
    part(folder / "more/two", 1, "two")
    return folder


@pytest.fixture
def data(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "data")


@pytest.fixture
def grown(data: Path) -> Path:
    grow(str(data), str(data / "one"))
    grow(str(data), str(data / "more/two"))
    return data


def test_rows_are_those_of_the_parts_in_order(grown: Path) -> None:
    one, two = (FeatureStore.open_sealed(str(grown / name)) for name in ("one", "more/two"))
    both = FeatureStore.open_sealed(str(grown))
    assert both.clips() == one.clips() + two.clips()
    assert both.prompts() == one.prompts() + two.prompts()
    assert both.pair_records() == one.pair_records() + two.pair_records()
    for name in both.plan.encoders:
        expected = np.concatenate([one.load(name).values, two.load(name).values])
        assert both.load(name).values.tobytes() == expected.tobytes()
    rows = len(one.clips())
    assert both.failures("toy") == {3: "lost in one", rows + 3: "lost in two"}
    assert np.flatnonzero(~both.load("toy").ok).tolist() == [3, rows + 3]


def test_pairs_point_at_the_same_clips_and_prompts(grown: Path) -> None:
    """By name rather than by number: the same pair reads the same clips, prompt, source, label and split."""

    def named(store: FeatureStore) -> list[tuple[Any, ...]]:
        clips, prompts, sources = [c.key for c in store.clips()], (*store.prompts(), "none"), store.plan.sources
        ids, arrays = [record["pair_id"] for record in store.pair_records()], store.pair_arrays()
        rows = zip(ids, *arrays, strict=True)
        return [(i, clips[x[0]], clips[x[1]], prompts[x[2]], sources[s], la, sp) for i, x, la, s, sp in rows]

    one, two, both = (FeatureStore.open_sealed(str(grown / name)) for name in ("one", "more/two", ""))
    assert both.plan.sources == ("Alpha", "Beta", "Gamma")
    assert named(both) == named(one) + named(two)
    assert (both.pair_arrays().index[:, 2] == -1).any()


def test_growing_writes_one_file_and_moves_nothing(data: Path) -> None:
    before = snapshot(data)
    first = grow(str(data), str(data / "one"))
    values = first.load("toy").values
    second = grow(str(data), str(data / "more/two"))
    assert second.load("toy").values[: len(values)].tobytes() == values.tobytes()
    assert first.pair_records() == second.pair_records()[: len(first.pair_records())]
    document = json.loads((data / "dataset.json").read_bytes())
    assert [listed["row_base"] for listed in document["parts"]] == [
        {"clip": 0, "prompt": 0, "pair": 0},
        {"clip": len(first.clips()), "prompt": 3, "pair": 40},
    ]
    assert {name: bits for name, bits in snapshot(data).items() if name != "dataset.json"} == before


def test_growing_again_changes_nothing(grown: Path) -> None:
    before = snapshot(grown)
    same = grow(str(grown), f"{grown}/more/two/")
    assert snapshot(grown) == before
    assert same.sha256 == FeatureStore.open(str(grown)).sha256 != FeatureStore.open(str(grown / "one")).sha256


def test_clips_of_two_parts_are_counted(grown: Path) -> None:
    both = FeatureStore.open_sealed(str(grown))
    keys = [clip.key for clip in both.clips()]
    assert repeated_clips(both) == len(keys) - len(set(keys)) > 0
    assert repeated_clips(FeatureStore.open_sealed(str(grown / "one"))) == 0


def test_all_parts_are_verified(grown: Path) -> None:
    both = FeatureStore.open_sealed(str(grown))
    assert both.sealed
    assert both.verify().keys() == {"one", "more/two"}
    (grown / "more/two/features/toy/c.0.0").unlink()
    with pytest.raises(StoreError, match="features/toy/: cannot be read: NOT_FOUND"):
        both.verify()


def test_nothing_is_written_into_a_dataset(grown: Path) -> None:
    both, before = FeatureStore.open(str(grown)), snapshot(grown)
    assert both.pending("toy") == []
    for write in (lambda: seal_store(both), lambda: write_block(both, "toy", 0, np.zeros((20, 8), np.float32), {})):
        with pytest.raises(StoreError, match=r"a dataset has no (seal|blocks) of its own, its parts have"):
            write()
    assert snapshot(grown) == before


def test_other_encoders_are_refused_with_what_differs(data: Path) -> None:
    grow(str(data), str(data / "one"))
    newer = replace(TOY, provenance={"encoder": "toy", "revision": "2"})
    part(data / "newer", 2, "newer", (newer, WORDS, FACTS))
    part(data / "half", 3, "half", (replace(TOY, dtype="float16"), WORDS, FACTS))
    for name, line in (("newer", "toy.provenance.revision: '2', not '1'"), ("half", "toy.dtype: 'float16', not 'f")):
        with pytest.raises(StoreError, match=f"has other encoders than the first part: .*{re.escape(line)}"):
            grow(str(data), str(data / name))
    assert len(json.loads((data / "dataset.json").read_bytes())["parts"]) == 1


def test_a_pair_that_is_there_already_is_refused(data: Path) -> None:
    grow(str(data), str(data / "one"))
    shutil.copytree(data / "one", data / "copy")
    with pytest.raises(StoreError, match=r"40 pairs are in more than one part: \['one-p0000', "):
        grow(str(data), str(data / "copy"))
    assert FeatureStore.open(str(data)).plan.tables["pair"].rows == 40


def test_an_unsealed_part_is_refused(data: Path) -> None:
    (data / "one/SEALED.json").unlink()
    with pytest.raises(StoreError, match="not sealed; with python -m feature_export"):
        grow(str(data), str(data / "one"))
    assert not (data / "dataset.json").exists()


def test_a_part_that_was_sealed_anew_is_noticed(grown: Path) -> None:
    commit = grown / "one/commits/words/00000000.json"
    commit.unlink()
    store = FeatureStore.open(str(grown / "one"))
    write_block(store, "words", 0, np.ones((3, 4), np.float32), {})
    seal_store(store)
    with pytest.raises(StoreError, match="is another store than was added"):
        FeatureStore.open(str(grown))


@pytest.mark.parametrize("place", ["..", "../elsewhere", "", "/elsewhere"])
def test_a_part_lies_below_its_dataset(data: Path, tmp_path: Path, place: str) -> None:
    shutil.copytree(data / "one", tmp_path / "elsewhere")
    location = str(tmp_path / "elsewhere") if place.startswith("/") else str(data / place)
    with pytest.raises(StoreError, match=r"is not below|is not one of names"):
        grow(str(data), location)


def test_a_dataset_is_no_part(grown: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store\.json: a part of a dataset is a feature store"):
        grow(str(tmp_path), str(grown))


def test_two_that_grow_at_once_do_not_lose_a_part(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = kv.generation(kv.open_root(str(data)), "dataset.json")
    grow(str(data), str(data / "one"))
    monkeypatch.setattr(kv, "generation", lambda root, key: stale)
    with pytest.raises(StoreError, match="someone else grew it meanwhile; grow it again"):
        grow(str(data), str(data / "more/two"))
    monkeypatch.undo()
    assert grow(str(data), str(data / "more/two")).plan.tables["pair"].rows == 80


def change(number: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["parts"][number].update(fields)


ONE = {"path": "one", "row_base": {"clip": 0, "prompt": 0, "pair": 0}, "sha256": "0" * 64}
PATHS = [
    "../data/one",
    "more/../one",
    "/etc",
    "",
    ".",
    "./one",
    "one/",
    "a//b",
    "more/.hid",
    "file:///tmp",
    "a|zip:",
    "a\nb",
]
HOSTILE: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    *((change(1, path=path), "is not one of names of") for path in (*PATHS, "x" * 201)),
    (change(1, path="none"), "no store.json: a part of a dataset is a feature store"),
    (change(1, path="one"), "lists a part twice"),
    (change(1, path=3), "expected path, row_base and sha256"),
    (change(1, extra=3), "expected path, row_base and sha256"),
    (change(1, row_base={"clip": 0, "prompt": 3, "pair": 40}), "row_base of more/two is {'clip': 0,"),
    (change(1, row_base={"clip": 1 << 70, "prompt": 3, "pair": 40}), "row_base of more/two is"),
    (change(1, row_base={"clip": "20", "prompt": 3, "pair": 40}), "row_base is {'clip': '20', 'prompt'"),
    (change(1, row_base={"clip": True, "prompt": 3, "pair": 40}), "expected whole numbers"),
    (change(1, row_base={}), "row_base of more/two is {}, expected {'clip': 20"),
    (change(0, row_base={"clip": 1, "prompt": 0, "pair": 0}), "row_base of one is"),
    (change(0, sha256="0" * 64), "is another store than was added"),
    (lambda document: document["parts"].reverse(), "row_base of more/two is"),
    (lambda document: document["parts"].clear(), "expected a list of 1 to 1024 parts"),
    (lambda document: document.update(parts=[ONE] * 1025), "expected a list of 1 to 1024 parts"),
    (lambda document: document.update(parts={"0": ONE}), "expected a list of 1 to 1024 parts"),
    (lambda document: document.update(parts=[3]), "expected path, row_base and sha256"),
    (lambda document: document.pop("parts"), "expected a list of 1 to 1024 parts"),
    (lambda document: document.update(version=2), "expected format 'tunejury-dataset' and version 1"),
    (lambda document: document.update(format="x"), "expected format 'tunejury-dataset' and version 1"),
    (lambda document: document.update(note="x" * (1 << 20)), "more than 1048576 bytes, which are accepted at most"),
]


@pytest.mark.parametrize(("edit", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_dataset(grown: Path, edit: Callable[[dict[str, Any]], Any], message: str) -> None:
    edit_json(grown / "dataset.json", edit)
    for read in (FeatureStore.open, FeatureStore.open_sealed, lambda place: grow(place, str(grown / "one"))):
        with pytest.raises(StoreError, match=re.escape(message)):
            read(str(grown))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_damaged_dataset(grown: Path, content: bytes) -> None:
    (grown / "dataset.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"^dataset\.json: "):
        FeatureStore.open(str(grown))
