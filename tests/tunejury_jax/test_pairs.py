"""Pairs files: what is written is read back, and every bad record names line, field and value."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunejury_jax.pairs import LABELS, MAX_LINE_BYTES, SPLITS, TARGETS, Clip, Pair, parse_pair, read_pairs, write_pairs

RECORD = {"id": "p1", "source": "MusicPrefs", "audio_a": "x/a.wav", "audio_b": "b.wav", "label": "a"}
FULL = Pair(
    id="p2",
    source="AIME",
    audio_a="a b/ü.mp3",
    audio_b="#1%20.flac",
    label="both_bad",
    question="Music Quality",
    prompt='lo-fi "piano"\n\u2028\r second line 🎹',
    lyrics="[verse]\nla",
    span_a=(0.0, 10.0),
    span_b=(1.25, 1234.5678901),
    system_a="one",
    system_b="two",
    confidence=4.5,
    rater="r",
    time="2025-07-08",
    split="valid",
)


def lines(path: Path, *records: Any) -> Path:
    path.write_bytes(b"\n".join(r if isinstance(r, bytes) else json.dumps(r).encode() for r in records))
    return path


@pytest.mark.parametrize("pair", [parse_pair(RECORD), FULL], ids=["least", "full"])
def test_what_is_written_is_read_back(tmp_path: Path, pair: Pair) -> None:
    write_pairs(tmp_path / "pairs.jsonl", [pair])
    assert read_pairs(tmp_path / "pairs.jsonl") == [pair]


def test_order_and_many_pairs_survive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [
        Pair(
            id=f"p{number}",
            source=f"s{rng.integers(3)}",
            audio_a=f"{rng.integers(9)}.wav",
            audio_b=f"{rng.integers(9)}.wav",
            label=LABELS[rng.integers(4)],
            span_a=(0.0, float(rng.random())) if rng.random() < 0.5 else None,
            confidence=float(rng.standard_normal()) if rng.random() < 0.5 else None,
            split=SPLITS[rng.integers(4)] if rng.random() < 0.5 else None,
        )
        for number in rng.permutation(200)
    ]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs


def test_defaults_are_not_written(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", [parse_pair(RECORD)])
    assert json.loads((tmp_path / "pairs.jsonl").read_text()) == RECORD


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    pairs = read_pairs(lines(tmp_path / "pairs.jsonl", b"", RECORD, b"  ", RECORD | {"id": "p2"}, b""))
    assert [pair.id for pair in pairs] == ["p1", "p2"]


@pytest.mark.parametrize("field", ["question", "prompt", "lyrics"])
def test_null_text_is_empty(field: str) -> None:
    assert parse_pair(RECORD | {field: None}) == parse_pair(RECORD)


@pytest.mark.parametrize("field", ["span_a", "span_b", "system_a", "system_b", "confidence", "rater", "time", "split"])
def test_null_is_none(field: str) -> None:
    assert parse_pair(RECORD | {field: None}) == parse_pair(RECORD)


@pytest.mark.parametrize(("given", "kept"), [("./a.wav", "a.wav"), ("a//b.wav", "a/b.wav"), ("a/./b.wav", "a/b.wav")])
def test_one_file_has_one_path(given: str, kept: str) -> None:
    assert parse_pair(RECORD | {"audio_a": given}).audio_a == kept


@pytest.mark.parametrize("label", LABELS)
def test_every_label_is_read(label: str) -> None:
    assert parse_pair(RECORD | {"label": label}).label == label


def test_a_preferred_is_one_and_both_bad_has_no_target() -> None:
    assert TARGETS == {"a": 1.0, "b": 0.0, "tie": 0.5}


PATH_MESSAGE = "audio_a: expected a path below the audio root, with forward slashes and no '..', got "
BAD_FIELDS = [
    ("label", "c", "label: got 'c', accepted are 'a', 'b', 'tie', 'both_bad'"),
    ("label", "A", "label: got 'A', accepted are 'a', 'b', 'tie', 'both_bad'"),
    ("label", "ties", "(did you mean 'tie'?)"),
    ("label", "", "label: got '', accepted are"),
    ("label", None, "label: got None, accepted are"),
    ("label", 1, "label: got 1, accepted are"),
    ("label", ["a"], "label: got ['a'], accepted are"),
    ("winner", "a", "field: got 'winner', accepted are 'id', 'source',"),
    ("promt", "x", "field: got 'promt', accepted are"),
    ("promt", "x", "(did you mean 'prompt'?)"),
    (
        "split",
        "validation",
        "split: got 'validation', accepted are 'train', 'valid', 'test', 'none' (did you mean 'valid'",
    ),
    ("id", "", "id: expected a non-empty string, got ''"),
    ("id", " \t", "id: expected a non-empty string, got ' \\t'"),
    ("id", 7, "id: expected a non-empty string, got 7"),
    ("id", None, "id: expected a non-empty string, got None"),
    ("id", "\ud800", "id: expected Unicode text, got a lone surrogate in '\\ud800'"),
    ("source", [], "source: expected a non-empty string, got []"),
    ("audio_a", "", "audio_a: expected a non-empty string, got ''"),
    ("audio_a", None, "audio_a: expected a non-empty string, got None"),
    ("audio_a", "/etc/passwd", PATH_MESSAGE + "'/etc/passwd'"),
    ("audio_a", "../a.wav", PATH_MESSAGE + "'../a.wav'"),
    ("audio_a", "x/../../a.wav", PATH_MESSAGE + "'x/../../a.wav'"),
    ("audio_a", "x/..", PATH_MESSAGE + "'x/..'"),
    ("audio_a", "x\\a.wav", PATH_MESSAGE + "'x\\\\a.wav'"),
    ("audio_a", "..\\a.wav", PATH_MESSAGE),
    ("prompt", 3, "prompt: expected a string or null, got 3"),
    ("prompt", {"text": "x"}, "prompt: expected a string or null, got {'text': 'x'}"),
    ("prompt", "piano \udc9f", "prompt: expected Unicode text, got a lone surrogate in 'piano \\udc9f'"),
    ("lyrics", ["la"], "lyrics: expected a string or null, got ['la']"),
    ("rater", "", "rater: expected a non-empty string, got ''"),
    ("system_a", 0, "system_a: expected a non-empty string, got 0"),
    ("time", 1785000000, "time: expected a non-empty string, got 1785000000"),
    ("confidence", float("nan"), "confidence: expected a finite number, got nan"),
    ("confidence", float("inf"), "confidence: expected a finite number, got inf"),
    ("confidence", -float("inf"), "confidence: expected a finite number, got -inf"),
    ("confidence", 10**400, "confidence: expected a finite number, got 1000"),
    ("confidence", "4", "confidence: expected a finite number, got '4'"),
    ("confidence", True, "confidence: expected a finite number, got True"),
    ("span_a", [0], "span_a: expected [begin_s, end_s] or null, got [0]"),
    ("span_a", [0, 1, 2], "span_a: expected [begin_s, end_s] or null, got [0, 1, 2]"),
    ("span_a", "0-1", "span_a: expected [begin_s, end_s] or null, got '0-1'"),
    ("span_a", {"begin": 0}, "span_a: expected [begin_s, end_s] or null, got {'begin': 0}"),
    ("span_b", [5, 5], "span_b: expected 0 <= begin_s < end_s, got [5, 5]"),
    ("span_b", [6, 5], "span_b: expected 0 <= begin_s < end_s, got [6, 5]"),
    ("span_b", [-1, 5], "span_b: expected 0 <= begin_s < end_s, got [-1, 5]"),
    ("span_b", [0, float("nan")], "span_b: expected a finite number, got nan"),
    ("span_b", [0, float("inf")], "span_b: expected a finite number, got inf"),
    ("span_b", [0, "1"], "span_b: expected a finite number, got '1'"),
    ("span_b", [False, 1], "span_b: expected a finite number, got False"),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD_FIELDS)
def test_a_bad_field_is_named_with_its_line_and_value(tmp_path: Path, field: str, value: Any, message: str) -> None:
    path = lines(tmp_path / "pairs.jsonl", RECORD, b"", RECORD | {"id": "p2"} | {field: value})
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}, line 3: ')}.*{re.escape(message)}"):
        read_pairs(path)


@pytest.mark.parametrize("field", RECORD)
def test_a_missing_field_is_named(field: str) -> None:
    record = {name: value for name, value in RECORD.items() if name != field}
    with pytest.raises(ValueError, match=re.escape(f"{field}: missing, got only {sorted(record)}")):
        parse_pair(record)


def test_a_duplicate_id_names_both_lines(tmp_path: Path) -> None:
    path = lines(tmp_path / "pairs.jsonl", RECORD, RECORD | {"id": "p2"}, b"", RECORD | {"label": "b"})
    with pytest.raises(ValueError, match=r"pairs\.jsonl, line 4: id: 'p1' occurs twice, first in line 1$"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b"id,source", "not JSON: Expecting value"),
        (b'{"id": "p1"} x', "not JSON: Extra data"),
        (b"\xff\xfe\xfa", "not JSON: 'utf-16-le' codec"),
        (b'{"id": "\xc3("}', "not JSON: 'utf-8' codec can't decode byte 0xc3"),
        (b"[" * 100_000, "not JSON: maximum recursion depth exceeded"),
        (b'{"id":' * 100_000, "not JSON: maximum recursion depth exceeded"),
        (b"9" * 5000, "not JSON: Exceeds the limit"),
        (b"[1, 2]", "expected a JSON object, got list"),
        (b"null", "expected a JSON object, got NoneType"),
        (b'"' + b"x" * MAX_LINE_BYTES, f"{MAX_LINE_BYTES + 1} bytes, accepted are at most {MAX_LINE_BYTES}"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_line_that_is_no_record(tmp_path: Path, line: bytes, message: str) -> None:
    path = lines(tmp_path / "pairs.jsonl", RECORD, line)
    with pytest.raises(ValueError, match=re.escape(f"{path}, line 2: record: {message}")):
        read_pairs(path)


def test_the_longest_line_is_read(tmp_path: Path) -> None:
    record = RECORD | {"prompt": ""}
    record["prompt"] = "x" * (MAX_LINE_BYTES - len(json.dumps(record)))
    assert len(read_pairs(lines(tmp_path / "pairs.jsonl", record))) == 1


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_pairs_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"pairs\.jsonl: holds no pairs, expected one JSON record a line"):
        read_pairs(tmp_path / "pairs.jsonl")


@pytest.mark.parametrize(
    ("span", "key"),
    [
        (None, "AIME/x/a.wav"),
        ((0.0, 10.0), "AIME/x/a.wav#t=0,10"),
        ((0.5, 1234567.0), "AIME/x/a.wav#t=0.5,1234567"),
        ((0.1, 0.30000000000000004), "AIME/x/a.wav#t=0.1,0.30000000000000004"),
    ],
)
def test_a_clip_is_named_by_source_path_and_span(span: Any, key: str) -> None:
    assert Clip("AIME", "x/a.wav", span).key == key


def test_different_spans_have_different_keys() -> None:
    ends = {1000 + 1e-4 * step for step in range(2000)}
    assert len({Clip("AIME", "a.wav", (0.0, end)).key for end in ends}) == len(ends)


def test_clips_of_a_pair() -> None:
    assert FULL.clip_a == Clip("AIME", "a b/ü.mp3", (0.0, 10.0))
    assert FULL.clip_b == Clip("AIME", "#1%20.flac", (1.25, 1234.5678901))
