"""Scoring files and folders: one row an input, whatever becomes of it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tunejury_jax.scorer import Scorer
from tunejury_jax.store.plan import fingerprint

__all__ = ["AudioFile", "EnsembleRow", "ScoreRow", "find_audio", "score_files"]


class AudioFile(NamedTuple):
    """A file to score; its id is its path below the folder it was found in, or its name."""

    id: str
    path: Path


@dataclass(frozen=True)
class ScoreRow:
    """What came of one file: a reward, or an error.

    Attributes:
        id: See `AudioFile`.
        path: As given.
        prompt: What the clip was scored against.
        reward: Unbounded; negative is normal. None where there is an error.
        checkpoint: sha256 of the head, its layout and its encoders' provenance.
        encoders: Block name -> fingerprint of its provenance.
        error: Why the file has no reward.
    """

    id: str
    path: str
    prompt: str
    reward: float | None
    checkpoint: str
    encoders: dict[str, str]
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class EnsembleRow(ScoreRow):
    """What came of one file that an ensemble was asked about.

    Attributes:
        std: Population standard deviation of the members' scores; None where there is an error.
        conservative: Standard deviations that were taken off the mean; only rewards of the same number compare.
    """

    std: float | None = None
    conservative: float = 0.0


def find_audio(inputs: Sequence[Path], suffixes: Collection[str]) -> tuple[list[AudioFile], int]:
    """Lists the files to score, and counts what was passed over.

    Args:
        inputs: Files, taken as they are, and folders, searched in depth for files with one of `suffixes`.
        suffixes: Lower case, with the dot.

    Returns:
        The files, sorted within each folder, and the number of other files found in folders.

    Raises:
        ValueError: A folder holds no such file.
    """
    files, passed_over = [], 0
    for given in inputs:
        if not given.is_dir():
            files.append(AudioFile(given.name, given))
            continue
        found = sorted(path for path in given.rglob("*") if path.is_file())
        audio = [path for path in found if path.suffix.lower() in suffixes]
        if not audio:
            raise ValueError(f"inputs: folder {given} holds no audio, accepted are {', '.join(sorted(suffixes))}")
        files += [AudioFile(path.relative_to(given).as_posix(), path) for path in audio]
        passed_over += len(found) - len(audio)
    return files, passed_over


def score_files(scorer: Scorer, files: Sequence[AudioFile], prompt: str) -> Iterator[ScoreRow]:
    """Scores files one by one; one that cannot be used gives a row with an error and the next one is scored."""
    checkpoint, single = scorer.checkpoint.sha256, scorer.checkpoint.members == 1
    encoders = {name: fingerprint(provenance) for name, provenance in scorer.checkpoint.encoders.items()}
    for file in files:
        reward = std = error = None
        try:
            reward, _, std = scorer.predict(file.path, prompt=prompt)
        except (ValueError, RuntimeError) as problem:
            error = str(problem)
        row = (file.id, str(file.path), prompt, reward, checkpoint, encoders, error)
        yield ScoreRow(*row) if single else EnsembleRow(*row, std, scorer.conservative)
