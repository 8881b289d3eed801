"""Candidates: several clips of each prompt, in a folder, generated and scored one after another.

Candidate c of a prompt is `{prompt_id}_c{c}.wav`, made with seed first_seed + c. Candidates are listed number by
number, all prompts of each: more candidates a prompt come behind those that are there.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import soundfile
from jaxtyping import Float
from torch import Tensor

from tunejury_jax.applications.batches import Batches
from tunejury_jax.applications.generators import Generator
from tunejury_jax.applications.prompts import PREFIX, Prompt
from tunejury_jax.documents import as_json, read_object, write_json, write_whole
from tunejury_jax.errors import one_of
from tunejury_jax.progress import progress
from tunejury_jax.score_files import AudioFile, Protocol, planned_rows, score_rest
from tunejury_jax.score_out import ScoreFile
from tunejury_jax.scorer import Scorer
from tunejury_jax.store.plan import difference

__all__ = ["Candidate", "Generated", "Scored", "count_candidates", "generate_candidates", "generator_of"]
__all__ += ["list_candidates", "score_candidates", "write_wave"]

MANIFEST = "candidates.json"
MAX_MANIFEST_BYTES = 64 << 20
NAME = re.compile(r"(.+)_c(0|[1-9][0-9]{0,5})\.wav")


class Candidate(NamedTuple):
    """One of the clips of a prompt, which may not be there."""

    prompt: Prompt
    number: int
    path: Path

    @property
    def id(self) -> str:
        return self.path.stem


class Generated(NamedTuple):
    """How generating went: candidates made, those that were there before, and how often a batch was halved."""

    made: int
    before: int
    halved: int


class Scored(NamedTuple):
    """A candidate's reward, or why it has none.

    Attributes:
        candidate: Which.
        reward: Unbounded; negative is normal. None where there is an error.
        std: Over the members of an ensemble; None of a single head.
        flags: See `tunejury_jax.flags.FLAGS`.
        error: None where there is a reward.
    """

    candidate: Candidate
    reward: float | None
    std: float | None
    flags: tuple[str, ...]
    error: str | None


def list_candidates(folder: Path, prompts: Sequence[Prompt], count: int) -> list[Candidate]:
    """Candidates 0 to count - 1 of each prompt, number by number."""
    return [
        Candidate(prompt, number, folder / f"{prompt.id}_c{number}.wav")
        for number in range(count)
        for prompt in prompts
    ]


def count_candidates(folder: Path, prompts: Sequence[Prompt]) -> tuple[int, int]:
    """How many candidates a prompt has, the one with the most, and how many wavs are of none of the prompts.

    Raises:
        ValueError: There is no such folder, or it has no candidate of these prompts.
    """
    if not folder.is_dir():
        raise ValueError(f"candidates: {folder} is no folder")
    known = {prompt.id for prompt in prompts}
    names = [NAME.fullmatch(path.name) or path.name for path in sorted(folder.glob("*.wav"))]
    numbers = [int(name[2]) for name in names if isinstance(name, re.Match) and name[1] in known]
    if not numbers:
        raise ValueError(
            f"candidates: {folder} has none of these prompts, expected files such as {prompts[0].id}_c0.wav"
        )
    return max(numbers) + 1, len(names) - len(numbers)


def generate_candidates(
    generator: Generator,
    prompts: Sequence[Prompt],
    folder: Path,
    count: int,
    *,
    first_seed: int = 42,
    duration_s: float = 10.0,
    prefix: str = PREFIX,
    batch: int = 8,
) -> Generated:
    """Generates the candidates that a folder does not have yet; each is there as a whole or not at all.

    Args:
        generator: Makes the clips.
        prompts: What they are to be.
        folder: Where they go, with a record of what made them; prompts and candidates may be added later.
        count: Candidates of each prompt.
        first_seed: Candidate c is made with seed first_seed + c.
        duration_s: Of every clip, in seconds.
        prefix: Put before every prompt.
        batch: Clips made at once; halved where they do not fit the memory.

    Raises:
        ValueError: The folder has candidates that were made otherwise; says how they differ.
        torch.OutOfMemoryError: A single clip does not fit.
        OSError: A clip cannot be written.
    """
    made_by = {"generator": generator.provenance(), "duration_s": duration_s, "prefix": prefix}
    _claim(folder, {**made_by, "first_seed": first_seed, "prompts": {prompt.id: prompt.text for prompt in prompts}})
    candidates = list_candidates(folder, prompts, count)
    todo, batches = [candidate for candidate in candidates if not candidate.path.exists()], Batches(batch)

    def generate(chosen: Sequence[Candidate]) -> Float[Tensor, "batch channels samples"]:
        texts = [prefix + candidate.prompt.text for candidate in chosen]
        return generator.generate(texts, [first_seed + candidate.number for candidate in chosen], duration_s)

    with progress("generate", len(todo), "candidates") as advance:
        for chosen, waves in batches.run(generate, todo):
            for candidate, wave in zip(chosen, waves, strict=True):
                write_wave(candidate.path, wave, generator.sample_rate_hz)
            advance(len(chosen))
    return Generated(len(todo), len(candidates) - len(todo), batches.halved)


def write_wave(path: Path, wave: Float[Tensor, "channels samples"], sample_rate_hz: int) -> None:
    """Writes a float32 wav that is there as a whole or not at all."""
    data = io.BytesIO()
    soundfile.write(data, wave.detach().cpu().float().numpy().T, sample_rate_hz, format="WAV", subtype="FLOAT")
    write_whole(path, data.getvalue())


def score_candidates(
    scorer: Scorer,
    candidates: Sequence[Candidate],
    out: Path,
    *,
    prefix: str = PREFIX,
    protocol: Protocol = "with",
    encoder: Any = None,
) -> list[Scored]:
    """Scores candidates into a file of rows, in order; a call that was killed is continued by the same one.

    Args:
        scorer: A head or an ensemble.
        candidates: From `list_candidates`; a file that is missing or cannot be read is scored as an error.
        out: Table (csv), as `tunejury score` writes it.
        prefix: Put before every prompt.
        protocol: `with` the prompt, or `empty`: without.
        encoder: From `Scorer.clip_encoder`, which takes limits of memory and a cache; by default one without.

    Returns:
        One a candidate, in their order.

    Raises:
        ValueError: `out` has rows of other candidates, prompts or another head.
        OSError: A row cannot be written.
    """
    one_of("out: suffix", out.suffix, (".csv",))
    files = [AudioFile(each.id, each.path, prefix + each.prompt.text) for each in candidates]
    with ScoreFile(out, planned_rows(scorer, files, protocols=(protocol,))) as rows:
        for row in score_rest(scorer, files, rows.present, protocols=(protocol,), encoder=encoder):
            rows.append(row)
    with out.open(newline="", encoding="utf-8") as table:
        return [_scored(*each) for each in zip(candidates, csv.DictReader(table), strict=True)]


def _scored(candidate: Candidate, row: Mapping[str, str]) -> Scored:
    reward, std = (float(row[name]) if row[name] else None for name in ("reward", "std"))
    return Scored(candidate, reward, std, tuple(filter(None, row["flags"].split(";"))), row["error"] or None)


def generator_of(folder: Path) -> dict[str, Any] | None:
    """The provenance of the generator that made a folder's candidates; None where nothing is recorded."""
    path = folder / MANIFEST
    return read_object(path, MAX_MANIFEST_BYTES).get("generator") if path.exists() else None


def _claim(folder: Path, made: dict[str, Any]) -> None:
    """Records what makes the candidates of a folder, prompts beside those recorded before."""
    path, made = folder / MANIFEST, as_json(made)
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        recorded = read_object(path, MAX_MANIFEST_BYTES)
        prompts = recorded.get("prompts", {})
        made["prompts"] = {**prompts, **made["prompts"]}
        if lines := difference({**recorded, "prompts": {**made["prompts"], **prompts}}, made):
            raise ValueError(f"candidates: {folder} was made otherwise ({'; '.join(lines)}); name a new folder")
    elif any(folder.glob("*.wav")):
        raise ValueError(f"candidates: {folder} has wavs but no {MANIFEST}, so they are of another program")
    write_json(path, made)
