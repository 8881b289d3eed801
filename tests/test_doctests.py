"""Every example in a docstring is run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [p for name in ("tunejury_jax", "feature_export", "trainers") for p in sorted((ROOT / name).rglob("*.py"))]
WITH_EXAMPLES = [p.relative_to(ROOT) for p in SOURCES if ">>> " in p.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples_give_what_they_show(path: Path) -> None:
    result = doctest.testmod(import_module(".".join(path.with_suffix("").parts)))
    assert result.attempted > 0
    assert result.failed == 0
