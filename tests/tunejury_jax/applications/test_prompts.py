"""Prompts in files of every accepted shape, and of shapes that are refused."""

import json
from pathlib import Path

import pytest

from tunejury_jax.applications.prompts import Prompt, read_prompts


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_the_published_list(tmp_path):
    path = written(
        tmp_path, "sdd.json", [{"prompt_id": 0, "prompt": "calm piano"}, {"prompt_id": "b-1.x", "prompt": "ü"}]
    )
    assert read_prompts(path) == [Prompt("0", "calm piano"), Prompt("b-1.x", "ü")]


def test_objects_a_line(tmp_path):
    lines = [json.dumps({"prompt_id": i, "prompt": f"p {i}", "genre": "folk"}) for i in (3, 1)]
    path = written(tmp_path, "p.jsonl", "\n\n".join(lines) + "\n")
    assert read_prompts(path) == [Prompt("3", "p 3"), Prompt("1", "p 1")]


def test_plain_lines_are_numbered_from_0_without_the_blank_ones(tmp_path):
    path = written(tmp_path, "p.txt", "\ufeffcalm piano\r\n \n  fast drums \n")
    assert read_prompts(path) == [Prompt("0", "calm piano"), Prompt("1", "fast drums")]


@pytest.mark.parametrize(
    "own", ["../../etc/passwd", "a/b", "a\\b", "", ".", "..", ".hidden", "a b", "ä", "a\0", "x" * 65]
)
def test_an_id_that_would_not_name_a_file_is_refused(tmp_path, own):
    path = written(tmp_path, "p.json", [{"prompt_id": own, "prompt": "x"}])
    with pytest.raises(ValueError, match="prompt 1: prompt_id: got "):
        read_prompts(path)


@pytest.mark.parametrize("own", [-1, 1.5, True, None, [1]])
def test_an_id_of_another_type_is_refused(tmp_path, own):
    with pytest.raises(ValueError, match="prompt 1: prompt_id: got "):
        read_prompts(written(tmp_path, "p.json", [{"prompt_id": own, "prompt": "x"}]))


def test_ids_that_are_equal_as_text_are_refused(tmp_path):
    path = written(tmp_path, "p.json", [{"prompt_id": 1, "prompt": "x"}, {"prompt_id": "1", "prompt": "y"}])
    with pytest.raises(ValueError, match=r"prompt 2: prompt_id: '1' occurs twice, expected once"):
        read_prompts(path)


@pytest.mark.parametrize("text", ["", " \n", None, 3, "\ud800"])
def test_a_prompt_that_is_no_text_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match=r"line 2: prompt: got "):
        read_prompts(written(tmp_path, "p.jsonl", "\n" + json.dumps({"prompt_id": 1, "prompt": text})))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("p.json", {"prompt_id": 1, "prompt": "x"}, "expected a list of objects, got dict"),
        ("p.json", ["calm"], "prompt 1: expected an object with prompt_id and prompt, got str"),
        ("p.json", [{"id": 1, "caption": "x"}], r"prompt 1: expected .*, got \['caption', 'id'\]"),
        ("p.json", "[", "not JSON"),
        ("p.json", [], "holds no prompt"),
        ("p.txt", " \n", "holds no prompt"),
        ("p.jsonl", "calm piano", "line 1: not JSON"),
        ("p.csv", "a,b", r"prompts: suffix: got '\.csv', accepted are '\.json', '\.jsonl', '\.txt'"),
    ],
)
def test_another_shape_is_refused(tmp_path, name, content, reason):
    with pytest.raises(ValueError, match=reason):
        read_prompts(written(tmp_path, name, content))


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"p\.txt: not UTF-8"):
        read_prompts(tmp_path / "p.txt")
