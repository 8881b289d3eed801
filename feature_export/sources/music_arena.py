"""Music Arena battles: one JSON file each, in the published schema or as raw logs, less those of the benchmark."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from feature_export.sources.bench import bench_battles
from feature_export.sources.reading import Reading, with_audio
from feature_export.sources.rows import Row, once
from tunejury_jax.documents import read_object
from tunejury_jax.pairs import Label, Pair

__all__ = ["read_music_arena"]

MAX_BATTLE_BYTES = 16 << 20
LABELS: dict[str, Label] = {"A": "a", "B": "b", "TIE": "tie", "BOTH_BAD": "both_bad"}


def read_music_arena(data: Path, *, bench: Path | None = None) -> Reading:
    """Reads the battles that have a vote and public audio.

    Args:
        data: Folder with `battle_data/<month>/*.json` and `audio_files/<month>/`.
        bench: CMI-RewardBench's `all_test.jsonl`; battles on it are left out.

    Raises:
        ValueError: Not such a folder, or a battle or benchmark row that is not as published.
    """
    excluded = bench_battles(bench) if bench else set()
    counts = Counter({"raw": 0, "no vote": 0, "audio not public": 0, "decisive": 0, "matched": 0, "kept": 0})
    seen: dict[str, str] = {}
    pairs = list(_pairs(data, excluded, seen, counts))
    bench_counts = {"benchmark battles": len(excluded), "benchmark battles not here": len(excluded - seen.keys())}
    return with_audio("MusicArena", pairs, dict(counts) | bench_counts, data)


def _pairs(data: Path, excluded: set[str], seen: dict[str, str], counts: Counter[str]) -> Iterator[Pair]:
    """The battles that are kept. Each goes into one of: no vote, audio not public, matched, kept."""
    for path in _files(data):
        battle = _flat(Row(str(path), read_object(path, MAX_BATTLE_BYTES)))
        once(seen, "battle_uuid", battle.text("battle_uuid"), battle.where)
        fate = _fate(battle, excluded)
        counts.update(("raw", fate))
        counts["decisive"] += fate in ("matched", "kept") and battle.values["preference"] in ("A", "B")
        if fate == "kept":
            yield _pair(battle, path.parent.name)


def _files(data: Path) -> list[Path]:
    files = sorted((data / "battle_data").rglob("*.json"))
    if not files:
        raise ValueError(f"data: {data}: holds no battle_data/<month>/*.json")
    return files


def _fate(battle: Row, excluded: set[str]) -> str:
    if battle.get("preference") is None:
        return "no vote"
    battle.code("preference", LABELS)
    if not battle.get("audio_a") or not battle.get("audio_b"):
        return "audio not public"
    return "matched" if battle.text("battle_uuid") in excluded else "kept"


def _pair(battle: Row, month: str) -> Pair:
    return battle.pair(
        id=battle.text("battle_uuid"),
        source="MusicArena",
        audio_a=_audio(battle.text("audio_a"), month),
        audio_b=_audio(battle.text("audio_b"), month),
        label=battle.code("preference", LABELS),
        prompt=battle.get("prompt"),
        lyrics=battle.values.get("lyrics"),
        system_a=battle.text("system_a"),
        system_b=battle.text("system_b"),
        rater=battle.values.get("user_pseudonym") or None,
        time=_time(battle),
    )


def _audio(name: str, month: str) -> str:
    return name if "/" in name else f"audio_files/{month}/{name}"


def _time(battle: Row) -> str | None:
    """The time of the vote as text; raw logs have it in seconds."""
    value = battle.values.get("timestamp") or battle.values.get("date") or None
    if value is None or isinstance(value, str):
        return value
    try:
        return datetime.fromtimestamp(value, UTC).isoformat()
    except (TypeError, OverflowError, OSError, ValueError) as error:
        raise battle.refuse("timestamp", "text or seconds since 1970") from error


def _flat(battle: Row) -> Row:
    """The battle under the published schema's names."""
    if "battle_uuid" in battle.values:
        return battle
    prompt = _inner(battle, "prompt_detailed", "overall_prompt") or _inner(battle, "prompt", "prompt")
    sides = {f"{name}_{side}": value for side in ("a", "b") for name, value in _raw_side(battle, side).items()}
    return Row(
        battle.where,
        sides
        | {
            "battle_uuid": battle.get("uuid"),
            "prompt": prompt,
            "lyrics": _inner(battle, "prompt_detailed", "lyrics"),
            "preference": _inner(battle, "vote", "preference"),
            "timestamp": _inner(battle, "vote", "preference_time"),
        },
    )


def _raw_side(battle: Row, side: str) -> dict[str, Any]:
    url = battle.get(f"{side}_audio_url") or ""
    if not isinstance(url, str):
        raise battle.refuse(f"{side}_audio_url", "a URL or null")
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return {"audio": name, "system": _inner(battle, f"{side}_metadata", "system_key", "system_tag")}


def _inner(row: Row, *path: str) -> Any:
    """A field of a nested object; None where an object on the way is null, a ValueError where one lacks the field."""
    value: Any = row.values
    for depth, field in enumerate(path):
        name = ".".join(path[: depth + 1])
        if not isinstance(value, dict):
            raise ValueError(f"{row.where}: {name}: expected an object around it, got {value!r:.200}")
        value = Row(row.where, value).get(field)
        if value is None:
            return None
    return value
