"""Plans: there and back, what differs between two, and every value a `store.json` may not have."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from store_factory import AUDIO, SPECS, TEXT

from tunejury_jax.blocks import Block
from tunejury_jax.store import EncoderSpec, StoreError
from tunejury_jax.store.plan import MAX_BLOCKS, MAX_DIM, Plan, TableSpec, canonical_json, difference, fingerprint

TABLES = {"clip": TableSpec(10, "c"), "prompt": TableSpec(3, "p"), "pair": TableSpec(20, "q")}
PLAN = Plan(4, TABLES, {spec.block.name: spec for spec in SPECS}, ("Alpha", "Beta"), {"torch": "2.0"})


def sized(rows: int, block_rows: int) -> Plan:
    return replace(PLAN, block_rows=block_rows, tables=TABLES | {"clip": TableSpec(rows, "c")})


def test_a_plan_survives_json() -> None:
    back = Plan.from_json(json.loads(canonical_json(PLAN.to_json())))
    assert back == PLAN
    assert back.environment == {"torch": "2.0"}
    assert canonical_json(back.to_json()) == canonical_json(PLAN.to_json())


def test_the_environment_is_not_compared() -> None:
    assert replace(PLAN, environment={"torch": "3.0"}) == PLAN


@pytest.mark.parametrize("block_rows", [1, 3, 4, 1024])
@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 1023, 1024, 1025])
def test_blocks_are_whole_and_as_few_as_hold_the_rows(rows: int, block_rows: int) -> None:
    plan = sized(rows, block_rows)
    assert plan.rows("audio") == rows
    assert plan.capacity("audio") == plan.blocks("audio") * block_rows
    assert 0 <= plan.capacity("audio") - rows < block_rows


def test_canonical_json_does_not_depend_on_order() -> None:
    items = list({"b": 1, "a": {"y": None, "x": "é"}, "c": [1, 2]}.items())
    made = {canonical_json(dict(order)) for order in itertools.permutations(items)}
    assert made == {'{"a":{"x":"é","y":null},"b":1,"c":[1,2]}'.encode()}


def test_a_fingerprint_changes_with_every_value() -> None:
    variants = [{"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, {"a": 1, "b": None}, {"a": {"a": 1}}, {}]
    prints = {fingerprint(variant) for variant in variants}
    assert len(prints) == len(variants)
    assert all(re.fullmatch("[0-9a-f]{16}", found) for found in prints)


def test_a_fingerprint_is_pinned() -> None:
    assert fingerprint({"revision": "1", "encoder": "mel"}) == "ea6e7c723f199b30"
    assert hashlib.sha256(b'{"encoder":"mel","revision":"1"}').hexdigest().startswith("ea6e7c723f199b30")


@pytest.mark.parametrize(
    ("ours", "theirs", "lines"),
    [
        ({}, {}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2]}}, []),
        ({"a": 1}, {"a": 2}, ["a: 1, not 2"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: 2, not 3"]),
        ({"a": {"b": 1}}, {"a": "x"}, ["a: {'b': 1}, not 'x'"]),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, ["a: 1, not 2", "b: 1, not 2"]),
        ({"a": 1}, {}, ["a: 1, not '(nothing)'"]),
        ({}, {"a": 1}, ["a: '(nothing)', not 1"]),
        ({"a": None}, {}, ["a: None, not '(nothing)'"]),
    ],
)
def test_differences_are_lines(ours: Any, theirs: Any, lines: list[str]) -> None:
    assert difference(ours, theirs) == lines


def test_whatever_changes_a_fingerprint_is_a_difference() -> None:
    other = {key: value for key, value in TEXT.provenance.items() if key != "rate"}
    assert fingerprint(other) != TEXT.fingerprint
    assert difference(other, TEXT.provenance)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: EncoderSpec(Block("a/b", 4, "clip"), {}),
            "encoder: got 'a/b', accepted are 1 to 64 of A-Z a-z 0-9 _ -",
        ),
        (lambda: EncoderSpec(Block("..", 4, "clip"), {}), "encoder: got '..', accepted are"),
        (lambda: EncoderSpec(Block("", 4, "clip"), {}), "encoder: got '', accepted are"),
        (lambda: EncoderSpec(Block("a\n", 4, "clip"), {}), "encoder: got 'a\\n', accepted are"),
        (lambda: EncoderSpec(Block("x" * 65, 4, "clip"), {}), "accepted are 1 to 64"),
        (lambda: EncoderSpec(Block("a", 0, "clip"), {}), "encoders.a.dim: got 0, accepted are 1 to 65536"),
        (
            lambda: EncoderSpec(Block("a", MAX_DIM + 1, "clip"), {}),
            "encoders.a.dim: got 65537, accepted are 1 to 65536",
        ),
        (
            lambda: EncoderSpec(AUDIO.block, {}, "bfloat16"),
            "encoders.audio.dtype: got 'bfloat16', accepted are 'float32'",
        ),
        (lambda: EncoderSpec(AUDIO.block, {}, "float64"), "encoders.audio.dtype: got 'float64', accepted are"),
        (lambda: replace(PLAN, block_rows=0), "block_rows: got 0, expected at least 1"),
        (lambda: replace(PLAN, block_rows=-4), "block_rows: got -4, expected at least 1"),
        (lambda: replace(PLAN, sources=()), "sources: got 0 names, accepted are 1 to 255"),
        (lambda: replace(PLAN, sources=tuple(map(str, range(256)))), "sources: got 256 names, accepted are 1 to 255"),
        (
            lambda: replace(PLAN, block_rows=(256 << 20) // 16 + 1),
            "audio: a block of 16777217 rows is over 268435456 bytes",
        ),
        (lambda: sized(MAX_BLOCKS + 1, 1), "audio: 4194305 blocks of 1 rows are over 4194304"),
        (
            lambda: PLAN.rows("adio"),
            "encoder: got 'adio', accepted are 'audio', 'half', 'text' (did you mean 'audio'?)",
        ),
    ],
)
def test_what_no_plan_may_hold(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_the_limits_themselves_are_held() -> None:
    assert sized(MAX_BLOCKS, 1).blocks("audio") == MAX_BLOCKS
    assert replace(PLAN, block_rows=(256 << 20) // 16).blocks("audio") == 1
    assert EncoderSpec(Block("x" * 64, MAX_DIM, "prompt"), {}).row_bytes() == MAX_DIM * 4


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Sets the value at the end of a path; without a value the last key is deleted."""
    *keys, last, value = path

    def change(document: dict[str, Any]) -> None:
        for key in keys:
            document = document[key]
        if value is ...:
            del document[last]
        else:
            document[last] = value

    return change


KIND = "store.json: a field is missing or of the wrong kind: "
EDITS = [
    (put("format", "zarr"), "store.json: format is 'zarr', expected 'tunejury-feature-store'"),
    (put("format", ...), "store.json: format is None, expected"),
    (put("version", 2), "store.json: version is 2, accepted is 1"),
    (put("version", "1"), "store.json: version is '1', accepted is 1"),
    (put("block_rows", 0), "block_rows: got 0, expected at least 1"),
    (put("block_rows", -1), "store.json: block_rows is -1, expected a whole number from 0 to 2^40"),
    (put("block_rows", 4.0), "store.json: block_rows is 4.0, expected a whole number"),
    (put("block_rows", "4"), "store.json: block_rows is '4', expected a whole number"),
    (put("block_rows", True), "store.json: block_rows is True, expected a whole number"),
    (put("block_rows", 1 << 40), "store.json: block_rows is 1099511627776, expected a whole number"),
    (put("block_rows", 1 << 30), "audio: a block of 1073741824 rows is over 268435456 bytes"),
    (put("block_rows", ...), KIND + "KeyError('block_rows')"),
    (put("tables", "clip", "rows", -1), "store.json: tables.clip.rows is -1, expected a whole number"),
    (put("tables", "clip", "rows", 1 << 70), "store.json: tables.clip.rows is 1180591620717411303424, expected"),
    (put("tables", "clip", "rows", 1 << 39), "audio: 137438953472 blocks of 4 rows are over 4194304"),
    (put("tables", "pair", "rows", None), "store.json: tables.pair.rows is None, expected a whole number"),
    (put("tables", "prompt", ...), KIND + "KeyError('prompt')"),
    (put("tables", "prompt", 3), KIND + "Type"),
    (put("tables", []), KIND + "Type"),
    (put("encoders", []), KIND + "AttributeError("),
    (put("encoders", "audio", 3), KIND + "Type"),
    (put("encoders", "audio", "dim", ...), KIND + "KeyError('dim')"),
    (put("encoders", "audio", "dim", 0), "encoders.audio.dim: got 0, accepted are 1 to 65536"),
    (put("encoders", "audio", "dim", 1 << 70), "encoders.audio.dim is 1180591620717411303424"),
    (put("encoders", "audio", "dim", 4.0), "encoders.audio.dim is 4.0, expected a whole number"),
    (put("encoders", "audio", "dim", True), "encoders.audio.dim is True, expected a whole number"),
    (
        put("encoders", "audio", "dtype", "float64"),
        "encoders.audio.dtype: got 'float64', accepted are 'float32', 'float16'",
    ),
    (
        put("encoders", "audio", "fingerprint", "0" * 16),
        "encoders.audio.provenance: was edited, it has not '0000000000000000'",
    ),
    (put("encoders", "audio", "provenance", "revision", "2"), "encoders.audio.provenance: was edited, it has not"),
    (put("encoders", "audio", "provenance", ["x"]), "encoders.audio.provenance: expected an object, got ['x']"),
    (put("encoders", "../x", {}), "KeyError('provenance')"),
    (put("codes", "label", ["b", "a", "tie", "both_bad"]), "store.json: codes are "),
    (put("codes", "split", ...), KIND + "KeyError('split')"),
    (put("codes", "source", []), "sources: got 0 names, accepted are 1 to 255"),
    (put("codes", "source", 7), KIND + "Type"),
    (put("environment", [1]), KIND + "Type"),
]


@pytest.mark.parametrize(("edit", "message"), EDITS, ids=range(len(EDITS)))
def test_an_edited_plan_is_refused(edit: Callable[[dict[str, Any]], None], message: str) -> None:
    document = json.loads(canonical_json(PLAN.to_json()))
    edit(document)
    assert canonical_json(document) != canonical_json(PLAN.to_json())
    with pytest.raises(ValueError, match=re.escape(message)):
        Plan.from_json(document)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "."])
def test_an_encoder_cannot_leave_its_folder(name: str) -> None:
    document = PLAN.to_json()
    document["encoders"] = {name: AUDIO.to_json()}
    with pytest.raises(StoreError, match=re.escape(f"encoder: got {name!r}")):
        Plan.from_json(document)


@pytest.mark.parametrize("table", ["song", 3, None])
def test_an_encoder_of_another_table_is_refused(table: Any) -> None:
    document = PLAN.to_json()
    document["encoders"]["audio"]["table"] = table
    with pytest.raises(ValueError, match="table"):
        Plan.from_json(document)


def test_a_deep_provenance_is_refused() -> None:
    document = PLAN.to_json()
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    document["encoders"]["audio"]["provenance"] = deep
    with pytest.raises(StoreError, match=r"store\.json: a field is missing or of the wrong kind: RecursionError"):
        Plan.from_json(document)
