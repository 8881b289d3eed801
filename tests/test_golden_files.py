"""Golden files say which packages and which generator made them, and that these are the pinned and the present ones."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = sorted((ROOT / "tests" / "golden").glob("*.npz"))
PINNED = re.compile(r"^([\w.-]+)==([\w.]+)$", re.MULTILINE)


def pins() -> dict[str, str]:
    text = (ROOT / "requirements" / "reference.txt").read_text()
    return {name.lower().replace("_", "-"): version for name, version in PINNED.findall(text)}


def test_there_are_golden_files() -> None:
    assert GOLDEN
    assert sum(path.stat().st_size for path in GOLDEN) < 3_000_000


def test_every_line_of_the_requirements_is_a_pin() -> None:
    lines = (ROOT / "requirements" / "reference.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#") and not PINNED.match(line)] == []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_made_by_the_pinned_packages_and_the_present_generator(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        record = json.loads(str(file["record"]))
    assert record["versions"].items() <= pins().items()
    assert record["versions"].keys() >= {"torch", "transformers", "laion-clap", "muq"}
    present = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in record["sources"]}
    assert record["sources"] == present, f"write again: python -m tests.oracles {path.stem} (docs/oracles.md)"
