"""Running CMI-RewardBench: its test file and audio in, results.jsonl out; a run that was killed goes on.

A clip's musicality is its score under its prompt (protocol `with`) or under none (`empty`); its alignment is what the
prompt adds, s(a, t) - s(a, ""). A clip without a prompt thus has alignment 0.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tunejury_jax.documents import read_object, write_whole
from tunejury_jax.errors import one_of
from tunejury_jax.evaluation.cmi_results import SPLIT, read_rows
from tunejury_jax.evaluation.cmi_tasks import dataset_of, preferred
from tunejury_jax.progress import progress

__all__ = ["PROTOCOLS", "Protocol", "Scores", "run_benchmark", "two_scores"]

Protocol = Literal["with", "empty"]
PROTOCOLS: tuple[Protocol, ...] = ("with", "empty")
Score = Callable[[Path, str], float]

MAX_SETTINGS_BYTES = 1 << 16
RECORDED = {"Music Arena": "MusicArena"}
"""Data sets whose recorded name differs from the published one."""


class Scores(NamedTuple):
    """What the benchmark asks of a clip."""

    alignment: float
    musicality: float


def two_scores(score: Callable[[str], float], prompt: str, protocol: Protocol) -> Scores:
    """Alignment and musicality of a clip.

    Args:
        score: The clip's score under a prompt.
        prompt: The clip's; may be empty.
        protocol: Whether musicality is judged with the prompt.
    """
    with_prompt = score(prompt)
    without = score("") if prompt.strip() else with_prompt
    return Scores(with_prompt - without, with_prompt if protocol == "with" else without)


def run_benchmark(
    rows: Iterable[Mapping[str, Any]],
    audio_root: Path,
    score: Score,
    out: Path,
    protocol: Protocol = "with",
    settings: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Scores the rows of the benchmark's test split, in order, and appends a line each to a results file.

    Args:
        rows: Of `all_test.jsonl`.
        audio_root: Folder that the rows' audio paths are relative to.
        score: Of a file under a prompt; a ValueError or RuntimeError becomes the row's error.
        out: The results file. If it is there, the run goes on behind its last whole line.
        protocol: See the module.
        settings: What else must be the same for a run to go on, for example the checkpoint; kept beside `out`.

    Returns:
        Counts: rows, rows of other splits or sources, rows done before, missing audio, failed clips.

    Raises:
        ValueError: The protocol is unknown, or `out` is of other rows or settings.
    """
    one_of("protocol", protocol, PROTOCOLS)
    counts = Counter[str]()
    own = list(_own(rows, counts))
    _require_settings(out, {"protocol": protocol, **(settings or {})})
    done = _resume(out, own)
    counts["rows done before"] = done
    with out.open("a", encoding="utf-8") as file, progress("benchmark", len(own) - done, "rows") as advance:
        for row in own[done:]:
            file.write(json.dumps(_result(row, audio_root, score, protocol, counts)) + "\n")
            file.flush()
            advance(1)
    return {"rows": len(own), **counts}


def _own(rows: Iterable[Mapping[str, Any]], counts: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        if dataset_of(row) is None:
            counts[f"rows of unknown source {str(row.get('source'))[:80]!r}"] += 1
        elif str(row.get("split", SPLIT)) != SPLIT:
            counts["rows of another split"] += 1
        else:
            yield row


def _require_settings(out: Path, settings: dict[str, Any]) -> None:
    path = out.with_name(out.name + ".settings.json")
    if not path.exists():
        if out.exists():
            raise ValueError(f"{out}: exists without {path.name}, so it is of another program; name another file")
        write_whole(path, json.dumps(settings) + "\n")
    elif (recorded := read_object(path, MAX_SETTINGS_BYTES)) != settings:
        raise ValueError(f"{out}: begun with {recorded}, now {settings}; name another file")


def _resume(out: Path, own: list[Mapping[str, Any]]) -> int:
    """Cuts off half a line and returns how many rows are done."""
    if not out.exists():
        return 0
    with out.open("rb+") as file:
        file.truncate(_end_of_last_line(out))
    done = 0
    for number, line in read_rows(out):
        if done == len(own) or {name: line.get(name) for name in own[done]} != own[done]:
            raise ValueError(f"{out}: line {number} is not of row {done + 1} of this test file; name another file")
        done += 1
    return done


def _end_of_last_line(path: Path) -> int:
    with path.open("rb") as file:
        return sum(len(line) for line in file if line.endswith(b"\n"))


def _result(
    row: Mapping[str, Any], root: Path, score: Score, protocol: Protocol, counts: Counter[str]
) -> dict[str, Any]:
    dataset = str(dataset_of(row))
    result = dict(row) | {"benchmark_dataset": RECORDED.get(dataset, dataset)}
    sides = {"a": ("audio-path", "")} | ({"b": ("audio2", "_b")} if row.get("audio2") else {})
    found: dict[str, Scores | None] = {}
    errors = []
    for side, (field, end) in sides.items():
        found[side], error = _clip(row, field, root, score, protocol, counts)
        alignment, musicality = found[side] or (None, None)
        result |= {f"predicted_musicality{end}": musicality, f"predicted_text-music alignment{end}": alignment}
        result[f"inference_valid_{side}"] = not error
        errors += [error] if error else []
    result |= _preferences(found.get("a"), found.get("b"))
    return result | {"inference_error": "|".join(errors)}


def _clip(
    row: Mapping[str, Any], field: str, root: Path, score: Score, protocol: Protocol, counts: Counter[str]
) -> tuple[Scores | None, str]:
    """A clip's scores, or why it has none."""
    path = root / str(row.get(field) or "")
    if not path.is_file():
        counts["missing audio"] += 1
        return None, f"audio_not_found:{path}"
    try:
        return two_scores(lambda prompt: score(path, prompt), str(row.get("prompt") or ""), protocol), ""
    except (ValueError, RuntimeError) as error:
        counts["failed clips"] += 1
        return None, f"error:{error}"


def _preferences(a: Scores | None, b: Scores | None) -> dict[str, str]:
    if a is None or b is None:
        return {}
    musicality = preferred(a.musicality, b.musicality)
    return {
        "predicted_preference": musicality,  # Music Arena's votes are closest to musicality, says the benchmark
        "predicted_preference-musicality": musicality,
        "predicted_preference-alignment": preferred(a.alignment, b.alignment),
    }
