"""Scoring a collection: with a score by hand, and by the command with a head of baseline features."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from midi_factory import midi
from random_heads import random_checkpoint
from released_tables import write_scores

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from tunejury_jax.applications.release import fluidsynth
from tunejury_jax.applications.release import scores as release_scores
from tunejury_jax.applications.release.collections import Track
from tunejury_jax.applications.release.scores import score_release
from tunejury_jax.applications.release.table import ReleaseTable
from tunejury_jax.cli import main
from tunejury_jax.released_scores import read_record, read_scores
from tunejury_jax.score_files import AudioFile
from tunejury_jax.scorer import Scorer

RATE_HZ = 16_000
Run = Callable[..., tuple[object, str, str]]


@dataclass(frozen=True)
class Answer:
    id: str
    reward: float | None
    error: str | None = None


def by_name(files: Sequence[AudioFile]) -> Iterator[Answer]:
    """The number in a file's name; none of a file called bad."""
    for file in files:
        bad = "bad" in file.path.name
        yield Answer(file.id, None if bad else float(file.path.stem), "cannot be read" if bad else None)


def tracks(root: Path, count: int, *bad: int) -> list[Track]:
    paths = [root / (f"bad{n}.wav" if n in bad else f"{n}.wav") for n in range(count)]
    return [Track(f"t{n}", path, {"caption": f"of {n}"}) for n, path in enumerate(paths)]


def table(folder: Path) -> ReleaseTable:
    return ReleaseTable(folder / "out.csv", ("track_id", "reward_score", "caption"), {"checkpoint": "abc"})


def test_every_track_is_scored_and_every_failure_told(tmp_path: Path) -> None:
    done: list[int] = []
    outcome = score_release(tracks(tmp_path, 70, 3, 69), by_name, table(tmp_path), advance=done.append)
    assert (outcome.before, outcome.scored) == (0, 68)
    assert outcome.failures == {"t3": "cannot be read", "t69": "cannot be read"}
    assert read_scores(tmp_path / "out.csv") == {f"t{n}": float(n) for n in range(69) if n != 3}
    assert sum(done) == 70


def test_the_next_call_scores_what_is_left(tmp_path: Path) -> None:
    asked: list[str] = []

    def dies(files: Sequence[AudioFile]) -> Iterator[Answer]:
        for answer in by_name(files):
            if answer.id == "t40":
                raise KeyboardInterrupt
            yield answer

    def notes(files: Sequence[AudioFile]) -> Iterator[Answer]:
        asked.extend(file.id for file in files)
        return by_name(files)

    with pytest.raises(KeyboardInterrupt):
        score_release(tracks(tmp_path, 70, 3), dies, table(tmp_path))
    outcome = score_release(tracks(tmp_path, 70), notes, table(tmp_path))
    assert asked == ["t3", *(f"t{n}" for n in range(40, 70))]
    assert (outcome.before, outcome.scored, outcome.failures) == (39, 31, {})
    assert read_scores(tmp_path / "out.csv") == {f"t{n}": float(n) for n in range(70)}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([Answer("t0", 1.0)], r"score: did not answer for \['t1'\]"),
        ([Answer("t0", 1.0), Answer("t0", 1.0)], "score: answered for 't0', which it was not asked about"),
        ([Answer("other", 1.0)], "score: answered for 'other'"),
    ],
)
def test_answers_are_held_to_the_question(tmp_path: Path, answers: list[Answer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_release(tracks(tmp_path, 2), lambda files: answers, table(tmp_path))


class PlaysNumbers(fluidsynth.FluidSynth):
    """Copies a file instead of rendering it, and keeps count of what is there at once."""

    seen: ClassVar[list[int]] = []

    def __post_init__(self) -> None:
        self.seen.clear()

    def render(self, midi: Path, wav: Path) -> None:
        if "broken" in midi.name:
            raise ValueError(f"{midi}: not a MIDI file")
        wav.write_bytes(midi.read_bytes())
        self.seen.append(len(list(wav.parent.iterdir())))


def test_notes_are_rendered_a_few_at_a_time_and_their_audio_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(release_scores, "CHUNK", 3)
    written, folders = tmp_path / "midi", set()
    written.mkdir()
    songs = [Track(f"t{n}", written / ("broken.mid" if n == 4 else f"{n}.mid"), {}) for n in range(8)]
    for song in songs:
        song.path.write_text(song.id)

    def reads(files: Sequence[AudioFile]) -> Iterator[Answer]:
        for file in files:
            folders.add(file.path.parent)
            yield Answer(file.id, float(file.path.read_text().removeprefix("t")))

    outcome = score_release(songs, reads, table(tmp_path), PlaysNumbers(Path("none.sf2")))
    assert read_scores(tmp_path / "out.csv") == {f"t{n}": float(n) for n in range(8) if n != 4}
    assert outcome.failures == {"t4": f"{written / 'broken.mid'}: not a MIDI file"}
    assert max(PlaysNumbers.seen) == 3
    assert len(folders) == 3
    assert not any(folder.exists() for folder in folders)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stack = load_stack(["mel"], SignalPath())
    provenance = {name: stack.provenance()[name] for name in stack.layout.names}
    folder = tmp_path_factory.mktemp("checkpoint") / "head"
    random_checkpoint(provenance, stack.layout.names).save(folder)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["tunejury", "release-scores", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def tone(path: Path, hz: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ), RATE_HZ)
    return path


def test_the_command_writes_the_published_columns(run: Run, head: Path, tmp_path: Path) -> None:
    audio, out = tmp_path / "audio", tmp_path / "out.csv"
    songs = {"jamendo_00_100": tone(audio / "00/100.wav", 220), "jamendo_07_207": tone(audio / "07/207.wav", 440)}
    (audio / "07/307.wav").write_text("not audio")
    (audio / "notes.txt").touch()
    command = ("--collection", "mtg_jamendo", "--audio-root", audio, "--checkpoint", head, "--out", out)
    status, printed, _ = run(*command)
    assert status == 1
    assert "2 scored, 0 were scored before; 55,701 tracks of mtg_jamendo are published" in printed
    assert "1 failed, audio of 0 listed tracks is missing, 1 other files passed over" in printed
    assert "failed: jamendo_07_307: " in printed
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[*row] for row in rows] == [["track_id", "reward_score", "relative_path"]] * 2
    assert [row["relative_path"] for row in rows] == ["00/100.wav", "07/207.wav"]
    scorer = Scorer.from_checkpoint(head)
    for key, reward in read_scores(out).items():
        assert reward == pytest.approx(scorer.score(songs[key]), abs=1e-5)
    record = read_record(out)
    assert (record["checkpoint"], record["rendering"], record["prompt"]) == (scorer.checkpoint.sha256, None, "")
    assert record["counts"] == {"scored": 2, "failed": 1, "missing": 0, "passed_over": 1}
    assert list(record["failures"]) == ["jamendo_07_307"]

    before = out.read_bytes()
    tone(audio / "07/307.wav", 880)
    status, printed, _ = run("score", *command)
    assert status == 0
    assert "1 scored, 2 were scored before" in printed
    assert out.read_bytes().startswith(before)
    assert read_record(out)["counts"] == {"scored": 3, "failed": 0, "missing": 0, "passed_over": 1}


def test_a_list_of_tracks_keeps_its_columns_and_counts_what_is_missing(run: Run, head: Path, tmp_path: Path) -> None:
    tone(tmp_path / "audio/-0Gj8-vB1q4.wav", 220)
    tone(tmp_path / "audio/v88cAXP03As.wav", 330)
    listed = tmp_path / "published.csv"
    listed.write_text(
        "track_id,reward_score,caption,audioset_labels\n"
        'musiccaps_-0Gj8-vB1q4.wav,0.9,"sad, soulful","/m/0140xf,/m/02cjck"\nmusiccaps_aaaaaaaaaaa.wav,0.1,x,y\n'
    )
    command = ("--audio-root", tmp_path / "audio", "--checkpoint", head, "--out", tmp_path / "out.csv")
    status, printed, _ = run("--collection", "musiccaps", *command, "--tracks", listed)
    assert status == 1
    assert "0 failed, audio of 1 listed tracks is missing, 1 other files passed over" in printed
    assert "missing: musiccaps_aaaaaaaaaaa.wav" in printed
    with (tmp_path / "out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["caption"], row["audioset_labels"]) == ("sad, soulful", "/m/0140xf,/m/02cjck")
    assert float(row["reward_score"]) != 0.9


def test_shards_together_are_the_whole(run: Run, head: Path, tmp_path: Path) -> None:
    listed = tmp_path / "listed.csv"
    listed.write_text("track_id,reward_score\n" + "".join(f"sdd_{number}.2min,0\n" for number in range(7)))
    for number in (0, 1, 2, 4, 6):  # 3 and 5 are missing
        tone(tmp_path / f"audio/{number}.2min.wav", 200 + 50 * number)
    command = ("--collection", "sdd", "--audio-root", tmp_path / "audio", "--checkpoint", head, "--tracks", listed)
    run(*command, "--out", tmp_path / "whole.csv")
    found: dict[str, float] = {}
    for number in range(2):
        run(*command, "--out", tmp_path / f"{number}.csv", "--shard", f"{number}/2")
        part, record = read_scores(tmp_path / f"{number}.csv"), read_record(tmp_path / f"{number}.csv")
        assert not part.keys() & found.keys()
        assert (record["shard"], record["counts"]["missing"]) == (f"{number}/2", 1)
        found |= part
    whole = read_scores(tmp_path / "whole.csv")
    assert found == pytest.approx(whole, abs=1e-5)
    assert len(whole) == 5
    status, _, err = run(*command, "--out", tmp_path / "0.csv", "--shard", "1/2")
    assert status == 2
    assert "was made otherwise (shard: '0/2', not '1/2'); name a new file" in err


def test_midi_is_rendered(run: Run, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plays(fluidsynth.FluidSynth):
        def __post_init__(self) -> None: ...

        def identity(self) -> dict[str, object]:
            return {"soundfont": self.soundfont.name}

        def render(self, midi: Path, wav: Path) -> None:
            tone(wav, float(midi.read_bytes()[24]) * 10)

    monkeypatch.setattr(fluidsynth, "FluidSynth", Plays)
    stem = "0123456789abcdef" * 2
    (tmp_path / f"{stem}.mid").write_bytes(midi(44))
    command = ("--collection", "midicaps", "--audio-root", tmp_path, "--checkpoint", head, "--out", tmp_path / "o.csv")
    status, _, err = run(*command)
    assert status == 2
    assert "soundfont: midicaps is MIDI, name a soundfont to play it with" in err
    status, _, _ = run(*command, "--soundfont", "tiny.sf2")
    assert status == 0
    expected = Scorer.from_checkpoint(head).score(tone(tmp_path / "as.wav", 440))
    assert read_scores(tmp_path / "o.csv")[f"midicaps_{stem}"] == pytest.approx(expected, abs=1e-5)
    assert read_record(tmp_path / "o.csv")["rendering"] == {"soundfont": "tiny.sf2"}
    status, _, err = run(*command, "--soundfont", "other.sf2")
    assert status == 2
    assert "was made otherwise (rendering.soundfont: 'tiny.sf2', not 'other.sf2')" in err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--soundfont", "x.sf2"), "soundfont: got x.sf2, but sdd is audio; accepted is none"),
        (("--revision", "main"), "revision: got 'main', but "),
        (("--shard", "2/2"), "shard: got '2/2', expected i/n"),
        (("--device", "cuda:99"), "device: got 'cuda:99', this machine has"),
    ],
)
def test_useless_options_are_refused(run: Run, head: Path, tmp_path: Path, extra: Sequence[str], message: str) -> None:
    tone(tmp_path / "1.2min.wav", 220)
    command = ("--collection", "sdd", "--audio-root", tmp_path, "--checkpoint", head, "--out", tmp_path / "o.csv")
    status, _, err = run(*command, *extra)
    assert status == 2
    assert message in err
    assert not (tmp_path / "o.csv").exists()


def test_verify_tells_differences_by_its_exit_status(run: Run, tmp_path: Path) -> None:
    old = write_scores(tmp_path / "old.csv", {"a": 1.0, "b": 2.0, "c": 3.0})
    near = write_scores(tmp_path / "near.csv", {"c": 3.0, "b": 2.00005, "a": 1.0})
    far = write_scores(tmp_path / "far.csv", {"a": 1.0, "b": 2.5, "d": 0.0})
    status, printed, _ = run("verify", old, near)
    assert (status, printed.splitlines()[-1]) == (0, "The same")
    status, printed, _ = run("verify", old, near, "--tolerance", "1e-6")
    assert status == 1
    assert "beyond: b: +0.000050" in printed
    status, printed, _ = run("verify", old, far)
    assert (status, printed.splitlines()[-1]) == (1, "Different")
    assert "missing: c" in printed
    assert "extra: d" in printed
    assert "|new - old|: mean 0.25, max 0.5; Spearman 1.000000" in printed


def test_long_lists_are_cut(run: Run, tmp_path: Path) -> None:
    old = write_scores(tmp_path / "old.csv", {f"t{n}": float(n) for n in range(40)})
    new = write_scores(tmp_path / "new.csv", {f"t{n}": float(n) for n in range(5)})
    _, printed, _ = run("verify", old, new)
    assert "missing: t14\nmissing: and 25 more" in printed


def test_the_record_is_json(tmp_path: Path) -> None:
    table(tmp_path)
    assert json.loads((tmp_path / "out.csv.json").read_text()) == {"checkpoint": "abc"}
