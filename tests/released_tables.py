"""Tables of released scores: made for a test, and the two published ones where this checkout has them beside it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["PUBLISHED", "published", "write_scores"]

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "release_scores"


def published(name: str) -> Path:
    """A published table; the test is skipped where it is absent."""
    path = PUBLISHED / f"{name}_scores.csv"
    if not path.is_file():
        pytest.skip(f"the published table {path.name} is not in ../shared/data/release_scores")
    return path


def write_scores(path: Path, scores: Mapping[str, float]) -> Path:
    """Writes a table of these scores."""
    rows = "".join(f"{key},{value!r}\r\n" for key, value in scores.items())
    path.write_text(f"track_id,reward_score\r\n{rows}", newline="")
    return path
