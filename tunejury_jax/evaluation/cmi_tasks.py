"""What CMI-RewardBench asks: four data sets, musicality and alignment, and which fields hold labels and predictions.

The rules are those of the benchmark's public code (github.com/Haiwen-Xia/CMI-RewardBench, read for facts).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["DATASETS", "TASKS", "Task", "dataset_of", "modality_of", "month_of", "preferred", "side_of"]

DATASETS = ("PAM", "MusicEval", "Music Arena", "CMI-Pref")
Kind = Literal["rating", "preference"]

_MONTH = re.compile(r"(?:^|/)MusicArena_data/[^/]+/([^/]+)")
_SIDES = {"a": "a", "model_a": "a", "b": "b", "model_b": "b", "both": "both", "neither": "both"}
_RECORDED = {name: name for name in DATASETS} | {"MusicArena": "Music Arena"}


@dataclass(frozen=True)
class Task:
    """A question that a data set asks.

    Attributes:
        dataset: One of `DATASETS`.
        axis: `musicality` or `alignment`; the overall preference of Music Arena is judged by musicality.
        kind: Ratings of clips, or preferences between two.
        label: Field of the label.
    """

    dataset: str
    axis: str
    kind: Kind
    label: str

    @property
    def prediction(self) -> str:
        return f"predicted_{self.label}"

    @property
    def score(self) -> str:
        """Field of clip a's predicted score; that of clip b ends in `_b`."""
        return "predicted_musicality" if self.axis == "musicality" else "predicted_text-music alignment"


TASKS = (
    Task("PAM", "musicality", "rating", "musicality"),
    Task("PAM", "alignment", "rating", "text-music alignment"),
    Task("MusicEval", "musicality", "rating", "musicality"),
    Task("Music Arena", "musicality", "preference", "preference"),
    Task("CMI-Pref", "musicality", "preference", "preference-musicality"),
    Task("CMI-Pref", "alignment", "preference", "preference-alignment"),
)


def dataset_of(row: Mapping[str, Any]) -> str | None:
    """The data set of a row, by its source, else by where its audio lies, else as it was recorded; or None."""
    source = str(row.get("source") or "")
    if "PAM" in source:
        return "PAM"
    if source in ("MusicEval", "SongEval"):
        return "MusicEval"
    if "Music Arena" in source or source == "cmi-arena-annotation":
        return "Music Arena" if "Music Arena" in source else "CMI-Pref"
    return "Music Arena" if month_of(row) else _RECORDED.get(str(row.get("benchmark_dataset")).strip())


def month_of(row: Mapping[str, Any]) -> str | None:
    """The folder of a Music Arena row's audio below `MusicArena_data/audio_files`, such as `07-2025JUL`."""
    for field in ("audio-path", "audio2"):
        if found := _MONTH.search(str(row.get(field) or "")):
            return found[1]
    return None


def modality_of(row: Mapping[str, Any]) -> str:
    """What a CMI-Pref row's music was asked for with: `text`, `text+lyrics`, `text+ref` or `text+lyrics+ref`."""
    recorded = str(row.get("modality") or "").strip()
    given = {"lyrics": row.get("lyrics"), "ref": row.get("ref-audio-path")}
    return recorded or "+".join(["text", *(name for name, value in given.items() if str(value or "").strip())])


def side_of(label: Any) -> str | None:
    """`a`, `b` or `both` (which `neither` counts as too) of a label, in any case; None of anything else."""
    return _SIDES.get(str(label).strip().lower())


def preferred(score_a: float, score_b: float) -> Literal["model_a", "model_b"]:
    """The clip that scores prefer; equal scores are counted for b, as the benchmark does."""
    return "model_a" if score_a > score_b else "model_b"
