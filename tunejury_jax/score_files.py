"""Scoring files and folders: a row an input and prompt, whatever becomes of it."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tunejury_jax.prediction import ClipPrediction
from tunejury_jax.progress import progress
from tunejury_jax.scorer import Blocks, Scorer
from tunejury_jax.store.plan import fingerprint

__all__ = [
    "IDENTITY",
    "PROTOCOLS",
    "AudioFile",
    "Protocol",
    "ScoreRow",
    "find_audio",
    "planned_rows",
    "score_files",
    "score_rest",
]

Protocol = Literal["with", "empty"]
PROTOCOLS: dict[str, tuple[Protocol, ...]] = {"with": ("with",), "empty": ("empty",), "both": ("with", "empty")}
"""How a clip is scored: with its prompt, without, or once each."""


class AudioFile(NamedTuple):
    """A file to score.

    Attributes:
        id: Its path below the folder it was found in, its name, or what a manifest calls it.
        path: Where it is.
        prompt: What it was made for; None for the prompt of all files.
        span_s: Begin and end in seconds of what is scored; None for all of it.
    """

    id: str
    path: Path
    prompt: str | None = None
    span_s: tuple[float, float] | None = None


@dataclass(frozen=True)
class ScoreRow:
    """What came of one file and prompt: a reward, or an error. The fields up to `conservative` say what was asked.

    Attributes:
        id: See `AudioFile`.
        path: As given.
        start_s: Where the scored span begins; None for the whole file.
        end_s: Where it ends.
        prompt_protocol: Whether the clip was scored with its prompt.
        prompt: What the clip was scored against.
        checkpoint: sha256 of the head, its layout and its encoders' provenance.
        encoders: Block name -> fingerprint of its provenance.
        conservative: Standard deviations that were taken off the mean; only rewards of the same number compare.
        reward: Unbounded; negative is normal. None where there is an error.
        std: Population standard deviation of the members' scores; None where there is an error, and of a single head.
        percentile: Of the reward among released scores; None without a table of them.
        flags: See `tunejury_jax.flags.FLAGS`.
        error: Why there is no reward.
    """

    id: str
    path: str
    start_s: float | None
    end_s: float | None
    prompt_protocol: Protocol
    prompt: str
    checkpoint: str
    encoders: dict[str, str]
    conservative: float
    reward: float | None = None
    std: float | None = None
    percentile: float | None = None
    flags: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


IDENTITY = 9
"""How many of the fields say what was asked."""


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


def planned_rows(
    scorer: Scorer, files: Sequence[AudioFile], prompt: str = "", protocols: Sequence[Protocol] = ("with",)
) -> Iterator[ScoreRow]:
    """The rows that `score_files` will give, without what becomes of them."""
    checkpoint = scorer.checkpoint.sha256
    encoders = {name: fingerprint(provenance) for name, provenance in scorer.checkpoint.encoders.items()}
    for file in files:
        own = prompt if file.prompt is None else file.prompt
        for protocol in protocols:
            asked = own if protocol == "with" else ""
            span = file.span_s or (None, None)
            yield ScoreRow(
                file.id, str(file.path), *span, protocol, asked, checkpoint, encoders, float(scorer.conservative)
            )


def score_files(
    scorer: Scorer,
    files: Sequence[AudioFile],
    prompt: str = "",
    protocols: Sequence[Protocol] = ("with",),
    encoder: Any = None,
    on_files: Callable[[int], None] = lambda count: None,
) -> Iterator[ScoreRow]:
    """Scores files; one that cannot be used gives rows with an error, and the others are scored.

    Args:
        scorer: A head or an ensemble.
        files: In the order of the rows.
        prompt: Of the files that have none of their own.
        protocols: Rows of each file, from `PROTOCOLS`; its audio is encoded once.
        encoder: From `Scorer.clip_encoder`, which takes limits of memory and a cache; by default one without.
        on_files: Is called with the number of files done since the last call.

    Raises:
        OSError: A worker process was killed.
    """
    if not files:
        return
    encoder = encoder or scorer.clip_encoder()
    rows = planned_rows(scorer, files, prompt, protocols)
    for chunk in encoder.files(((file.path, file.span_s) for file in files), on_files):
        yield from _scored(scorer, encoder, [(clip, next(rows)) for clip in chunk for _ in protocols])


def score_rest(
    scorer: Scorer,
    files: Sequence[AudioFile],
    present: int,
    prompt: str = "",
    protocols: Sequence[Protocol] = ("with",),
    encoder: Any = None,
) -> Generator[ScoreRow, None, None]:
    """The rows of `score_files` beyond the first `present`, and shows how far it is.

    Begins at the start of a chunk, so that the rows are the same bits as those of a run that was not cut.
    """
    encoder = encoder or scorer.clip_encoder()
    done = present // len(protocols)
    start = done if done == len(files) else done - done % encoder.chunk_clips
    with progress("score", len(files) - start, "files") as advance:
        rows = score_files(scorer, files[start:], prompt, protocols, encoder, advance)
        yield from islice(rows, present - start * len(protocols), None)


def _scored(scorer: Scorer, encoder: Any, asked: Sequence[tuple[Any, ScoreRow]]) -> Iterator[ScoreRow]:
    """The rows of a chunk of clips."""
    texts = [encoder.prompt(row.prompt) for _, row in asked]
    errors = [clip.error or text.error for (clip, _), text in zip(asked, texts, strict=True)]
    good = [number for number, error in enumerate(errors) if error is None]
    blocks: list[Blocks] = [{**asked[number][0].features, **texts[number].features} for number in good]
    prompts = [asked[number][1].prompt for number in good]
    predictions = iter(scorer.predict_blocks(blocks, prompts, [texts[number].cut for number in good]))
    single = scorer.checkpoint.members == 1
    for (_, row), error in zip(asked, errors, strict=True):
        yield replace(row, error=error) if error is not None else _filled(row, next(predictions), single)


def _filled(row: ScoreRow, scored: ClipPrediction, single: bool) -> ScoreRow:
    std = None if single else scored.std
    return replace(row, reward=scored.reward, std=std, percentile=scored.percentile, flags=scored.flags)
