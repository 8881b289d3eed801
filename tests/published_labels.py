"""Label sets in the layouts in which they are published: tiny, or of the published size."""

import csv
import io
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

__all__ = [
    "AXES",
    "aime_survey",
    "battle",
    "bench_row",
    "cmi_row",
    "full_pool",
    "raw_battle",
    "sound",
    "uuid",
    "write_aime",
    "write_all",
    "write_battles",
    "write_csv",
    "write_embedded",
    "write_jsonl",
    "write_musicprefs",
    "write_songeval",
]

RATE_HZ = 8_000
AXES = ("Coherence", "Musicality", "Memorability", "Clarity", "Naturalness")
MONTH = "07-2025JUL"


def sound(seed: int, seconds: float = 0.05, format: str = "WAV") -> bytes:
    """A short file of noise."""
    file = io.BytesIO()
    noise = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
    soundfile.write(file, noise, RATE_HZ, format=format)
    return file.getvalue()


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_embedded(folder: Path, rows: Sequence[dict[str, Any]], parts: int = 1) -> None:
    """Rows with a column `audio{path, bytes}`, in parts named as published."""
    folder.mkdir(parents=True, exist_ok=True)
    audio = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
    others = [(column, pa.string()) for column in rows[0] if column != "audio"]
    for part in range(parts):
        table = pa.Table.from_pylist(list(rows[part::parts]), schema=pa.schema([*others, ("audio", audio)]))
        pq.write_table(table, folder / f"train-{part:05d}-of-{parts:05d}.parquet")


def write_musicprefs(root: Path, outcomes: Sequence[str], clips: int = 4, prompts: bool = True) -> Path:
    """Pair n compares clips n and n + 1, counted around; fidelity says the opposite side each time."""
    prompt = {"prompt": "a song"} if prompts else {}
    rows = [prompt | {"audio": {"path": f"clip_{n}.wav", "bytes": sound(n)}} for n in range(clips)]
    write_embedded(root / "data", rows, parts=2)
    labels = [
        {
            "audio_a": f"clip_{n % clips}.wav",
            "audio_b": f"clip_{(n + 1) % clips}.wav",
            "musicality": outcome,
            "fidelity": "b_wins" if "a_wins" in outcome.lower() else "a_wins",
        }
        for n, outcome in enumerate(outcomes)
    ]
    write_csv(root / "human_preference.csv", labels)
    return root


def aime_survey(pairs: int, clips: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "question-type": ("Music Quality", "Text-Audio Alignment")[n % 2],
            "description": f"tags, {n % 3}",
            "model-1": f"model {n % clips}",
            "track-1-id": n % clips,
            "track-1-begin": "00:00:00",
            "track-1-end": "00:00:10",
            "model-2": f"model {(n + 1) % clips}",
            "track-2-id": (n + 1) % clips,
            "track-2-begin": "00:01:02",
            "track-2-end": "00:01:12",
            "answer": 1 + n // 2 % 2,
        }
        for n in range(pairs)
    ]


def write_aime(
    root: Path, survey: Sequence[dict[str, Any]], clips: int = 4, seconds: float = 0.05
) -> tuple[Path, Path]:
    """Returns the folders of the survey and of the audio."""
    write_embedded(
        root / "AIME" / "data",
        [
            {
                "id": f"{n:05d}",
                "model": f"model {n}",
                "description": "tags",
                "audio": {"path": None, "bytes": sound(n, seconds)},
            }
            for n in range(clips)
        ],
    )
    (root / "AIME-survey").mkdir()
    pq.write_table(pa.Table.from_pylist(list(survey)), root / "AIME-survey" / "train-00000-of-00001.parquet")
    return root / "AIME-survey", root / "AIME"


def write_songeval(root: Path, songs: int, seed: int = 0) -> dict[str, list[dict[str, int]]]:
    """Returns the ratings by file name; their order in the file is not that of the names."""
    draw = random.Random(seed)
    ratings = {
        f"mp3/{song}.mp3": [{axis: draw.randint(1, 5) for axis in AXES} for _ in range(draw.randint(2, 4))]
        for song in draw.sample(range(songs), songs)
    }
    (root / "mp3").mkdir(parents=True)
    for name in ratings:
        (root / name).touch()
    rows = [{"file_name": name, "gender": "male", "annotation": given} for name, given in ratings.items()]
    write_jsonl(root / "metadata.jsonl", rows)
    return ratings


def uuid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def battle(number: int, preference: str | None = "A", **more: Any) -> dict[str, Any]:
    """One battle in the published schema."""
    return {
        "battle_uuid": uuid(number),
        "date": "2025-07-28",
        "prompt": f"prompt {number}",
        "is_instrumental": "True",
        "user_pseudonym": "someone",
        "audio_a": f"original-{number:032x}-{uuid(number)}-a.mp3",
        "audio_b": f"original-{number:032x}-{uuid(number)}-b.mp3",
        "system_a": "sonauto-v2-2",
        "system_b": "acestep",
        "preference": preference,
        "lyrics": None,
        "timestamp": "2025-07-28T19:00:00",
        "listen_data_a": "[]",
    } | more


def raw_battle(number: int, preference: str | None = "A") -> dict[str, Any]:
    """The same battle as a raw log."""
    published = battle(number, preference)
    sides = {
        key: value
        for side in "ab"
        for key, value in {
            f"{side}_audio_url": f"https://example.invalid/x/{published[f'audio_{side}']}?signature=1%2F2",
            f"{side}_metadata": {
                "system_key": {"system_tag": published[f"system_{side}"], "variant_tag": "initial"},
                "lyrics": None,
            },
        }.items()
    }
    return sides | {
        "uuid": uuid(number),
        "prompt": {"prompt": "as typed"},
        "prompt_detailed": {"overall_prompt": published["prompt"], "instrumental": True, "lyrics": None},
        "vote": {"preference": preference, "preference_time": 1753729200.0},
    }


def write_battles(root: Path, battles: Sequence[dict[str, Any]]) -> Path:
    """Writes battles and the audio that they name."""
    for kind in ("battle_data", "audio_files"):
        (root / kind / MONTH).mkdir(parents=True)
    for record in battles:
        number = record.get("battle_uuid") or record.get("uuid")
        (root / "battle_data" / MONTH / f"{number}.json").write_text(json.dumps(record))
    for number in range(len(battles)):
        for side in "ab":
            (root / "audio_files" / MONTH / battle(number)[f"audio_{side}"]).touch()
    return root


def bench_row(number: int = 1) -> dict[str, Any]:
    audio = [f"MusicArena_data/audio_files/{MONTH}/{battle(number)[f'audio_{side}']}" for side in "ab"]
    return {"source": "Music Arena (July)", "audio-path": audio[0], "audio2": audio[1], "preference": "A"}


def cmi_row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "source": "cmi-arena-annotation",
        "split": "test",
        "audio-path": f"cmi-pref/gen-audio/{number:08x}.mp3",
        "audio2": f"cmi-pref/gen-audio/{number + 1:08x}.mp3",
        "prompt": f"prompt {number}",
        "lyrics": "la",
        "preference": {"musicality": "model_a"},
        "preference-musicality": "model_a",
        "preference-alignment": "model_b",
        "confidence_musicality": "4.0",
        "confidence_alignment": "2.0",
        "user id": 7,
        "model_a": "one",
        "model_b": "two",
        "ref-audio-path": None,
    } | more


def write_all(root: Path, pairs: int = 4) -> Path:
    """The four sources of the pool, each in its folder."""
    write_battles(root / "music-arena", [battle(n) for n in range(pairs)])
    write_musicprefs(root / "musicprefs", ["a_wins", "b_wins", "tie", "a_wins"][:pairs])
    write_aime(root / "aime", aime_survey(pairs))
    write_songeval(root / "songeval", 200)
    return root


def full_pool(root: Path, splits: Path) -> list[tuple[str, str]]:
    """The four sources with exactly the published ids, few clips and the published ties; returns pairs of songs, in
    the order of their ids, that fit the published split."""
    battles = _listed(splits / "MusicArena-random_split_bench_clean.json")
    write_battles(root / "music-arena", [_listed_battle(*item, 20) for item in _numbered(battles)])
    prefs = {
        pair_id: (split, number)
        for pair_id, split, number in _numbered(_listed(splits / "MusicPrefs-random_split.json"))
    }
    outcomes = [
        "tie" if split == "test" and number >= 206 else "b_wins" for _, (split, number) in sorted(prefs.items())
    ]
    write_musicprefs(root / "musicprefs", outcomes)
    write_aime(root / "aime", aime_survey(len(_listed(splits / "AIME-random_split.json"))))
    write_songeval(root / "songeval", 2399)
    return _song_pairs(_listed(splits / "SongEval-balanced_split.json"))


def _listed(file: Path) -> dict[str, str]:
    lists = json.loads(file.read_text())
    return {pair_id: split for split in ("train", "valid", "test") for pair_id in lists[split]}


def _numbered(listed: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    """Id, split, and its place within the split."""
    seen: Counter[str] = Counter()
    for pair_id, split in listed.items():
        yield pair_id, split, seen[split]
        seen[split] += 1


def _listed_battle(battle_uuid: str, split: str, number: int, decisive: int) -> dict[str, Any]:
    vote = "A" if split != "test" or number < decisive else ("TIE", "BOTH_BAD")[number % 2]
    return battle(0, vote, battle_uuid=battle_uuid)


def _song_pairs(listed: dict[str, str]) -> list[tuple[str, str]]:
    names = [f"mp3/{number}.mp3" for number in range(2301)]
    songs = {"train": names[:1841], "valid": names[1841:2071], "test": names[2071:]}
    used = {split: itertools.cycle(own) for split, own in songs.items()}
    splits = [listed.get(f"songeval_{number:06d}") for number in range(3760)]
    across = zip(itertools.cycle(songs["valid"]), itertools.cycle(songs["test"]), strict=False)
    return [(next(used[split]), next(used[split])) if split else next(across) for split in splits]
