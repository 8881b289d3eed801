"""Files through a rival: what it is given, what a kill and a bad clip leave, the table, the commands."""

import csv
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import soundfile
import torch
from audio_factory import RATE_HZ, write_bad, write_clips

from tunejury_jax.applications.rivals.scoring import Scored, by_rival, score_clips, score_one
from tunejury_jax.applications.rivals.table import judge_columns, write_table
from tunejury_jax.cli import main
from tunejury_jax.score_files import AudioFile


class Loudness:
    """Mean square; refuses a batch that holds a silent clip."""

    name = "loudness"
    sample_rate_hz = 8_000
    reads_prompts = False

    def __init__(self) -> None:
        self.heard: list[int] = []

    def score_batch(self, clips: Sequence[torch.Tensor], prompts: Sequence[str]) -> list[float]:
        if any(not clip.any() for clip in clips):
            raise RuntimeError("silence")
        self.heard += [len(clip) for clip in clips]
        return [float(clip.square().mean()) + len(prompt) for clip, prompt in zip(clips, prompts, strict=True)]


@pytest.fixture
def files(tmp_path: Path) -> list[AudioFile]:
    return [AudioFile(name, tmp_path / "music" / name, "") for name in write_clips(tmp_path / "music", 10)]


def scored(files: Sequence[AudioFile], out: Path, rival: Loudness | None = None) -> list[Scored]:
    return score_clips(files, by_rival(rival or Loudness()), out, {"scorer": "loudness"}, lambda: None)


def test_clips_are_heard_mono_at_the_rivals_rate(files: list[AudioFile], tmp_path: Path) -> None:
    rival = Loudness()
    found = scored(files, tmp_path / "l.jsonl", rival)
    assert rival.heard == [round(0.3 * 8_000)] * 10
    samples, _ = soundfile.read(files[1].path, always_2d=True)
    # Halving the rate of white noise halves its power.
    assert found[1].score == pytest.approx(samples.mean(1).var() / 2, rel=0.15)


def test_spans_and_prompts_reach_the_rival(files: list[AudioFile], tmp_path: Path) -> None:
    rival = Loudness()
    (found,) = scored([files[0]._replace(span_s=(0.1, 0.2), prompt="four")], tmp_path / "l.jsonl", rival)
    assert rival.heard == [800]
    assert found.score is not None
    assert found.score > 4


def test_a_bad_clip_takes_no_other_with_it(files: list[AudioFile], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(800), RATE_HZ)
    bad = [AudioFile(name, tmp_path / "music" / name, "") for name in write_bad(tmp_path / "music")]
    mixed = [files[0], AudioFile("silent", tmp_path / "silent.wav", ""), *bad, files[1]]
    found = scored(mixed, tmp_path / "l.jsonl")
    assert found[1] == Scored(None, "loudness: silence")
    assert all(each.score is None and each.error for each in found[2:-1])
    assert "loudness: the score is inf" in [each.error for each in found]
    assert [found[0], found[-1]] == scored([files[0], files[1]], tmp_path / "alone.jsonl")


def test_a_killed_run_goes_on(files: list[AudioFile], tmp_path: Path) -> None:
    whole = scored(files, tmp_path / "whole.jsonl")
    text = (tmp_path / "whole.jsonl").read_text()
    (tmp_path / "cut.jsonl").write_text(text[: len(text) // 2])
    rival = Loudness()
    assert scored(files, tmp_path / "cut.jsonl", rival) == whole
    assert 0 < len(rival.heard) < 10
    assert (tmp_path / "cut.jsonl").read_text() == text


@pytest.mark.parametrize("change", ["scorer", "order", "prompt", "fewer"])
def test_a_file_of_another_run_is_refused(files: list[AudioFile], tmp_path: Path, change: str) -> None:
    out = tmp_path / "l.jsonl"
    scored(files[:3], out)
    others = {
        "scorer": files[:3],
        "order": files[2::-1],
        "prompt": [file._replace(prompt="x") for file in files[:3]],
        "fewer": files[:2],
    }
    settings = {"scorer": "other" if change == "scorer" else "loudness"}
    with pytest.raises(ValueError, match=r"l\.jsonl"):
        score_clips(others[change], by_rival(Loudness()), out, settings, lambda: None)


def test_one_file_is_heard_once_for_prompts_that_are_not_read(files: list[AudioFile]) -> None:
    rival = Loudness()
    score = score_one(rival)
    assert score(files[0].path, "a prompt") == score(files[0].path, "")
    assert len(rival.heard) == 1
    rival.reads_prompts = True
    both = score_one(rival)
    assert both(files[0].path, "four") == pytest.approx(both(files[0].path, "") + 4)
    with pytest.raises(ValueError, match="no such file"):
        score(files[0].path.with_name("absent.wav"), "")


def test_the_table_has_a_column_each_and_ratings_judge_common_clips(files: list[AudioFile], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one = [Scored(float(x)) for x in rng.normal(size=10)]
    other = [Scored(None, "bad"), *(Scored(float(x)) for x in rng.normal(size=9))]
    write_table(tmp_path / "t.csv", files, {"one": one, "other": other})
    with (tmp_path / "t.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["one"] for row in rows] == [str(each.score) for each in one]
    assert rows[0]["other"] == ""
    ratings = {file.id: float(number) for number, file in enumerate(files[:-1])}
    found = judge_columns(files, {"one": one, "other": other}, ratings)
    for name, column in (("one", one), ("other", other)):
        expected = scipy.stats.spearmanr([each.score for each in column[1:-1]], range(1, 9)).statistic
        assert found[name]["srcc"]["value"] == pytest.approx(expected)
        assert found[name]["clips"] == 8


def test_no_rated_clip_is_refused(files: list[AudioFile]) -> None:
    with pytest.raises(ValueError, match="ratings: no clip"):
        judge_columns(files, {"one": [Scored(1.0)] * 10}, {"another": 1.0})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    infer = types.ModuleType("audiobox_aesthetics.infer")
    axes = {"CE": 1.0, "PQ": -1.0}

    class Predictor:
        def forward(self, batch):
            powers = [float(item["path"].square().mean()) for item in batch]
            return [{axis: sign * power for axis, sign in axes.items()} for power in powers]

    infer.initialize_predictor = lambda ckpt=None: Predictor()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics", types.ModuleType("audiobox_aesthetics"))
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics.infer", infer)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tunejury", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out + printed.err  # type: ignore[return-value]

    return run


def test_the_command_puts_scorers_into_one_table(run, files: list[AudioFile], tmp_path: Path) -> None:
    lines = [f"{file.id},{number}" for number, file in enumerate(files)]
    (tmp_path / "ratings.csv").write_text("\n".join(["clip,rating", *lines]) + "\n")
    given = ("--rivals", "audiobox-ce", "audiobox-pq", "--ratings", tmp_path / "ratings.csv", "--out", tmp_path / "o")
    status, said = run("rivals", tmp_path / "music", *given)
    assert status == 0, said
    assert "10 clips, 0 scores failed" in said
    document = json.loads((tmp_path / "o/rivals.json").read_text())
    assert document["audiobox-ce"]["srcc"]["value"] == -document["audiobox-pq"]["srcc"]["value"]
    assert (tmp_path / "o/scores.csv").read_text().splitlines()[0] == "clip,path,prompt,audiobox-ce,audiobox-pq"


def test_the_benchmark_runs_with_a_rival(run, files: list[AudioFile], tmp_path: Path) -> None:
    rows = [
        {"source": "MusicEval", "split": "test", "audio-path": f"music/{file.id}", "prompt": "", "musicality": number}
        for number, file in enumerate(files)
    ]
    (tmp_path / "all_test.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    given = ("--rival", "audiobox-ce", "--data", tmp_path / "all_test.jsonl", "--out", tmp_path / "o")
    status, said = run("cmi", *given)
    assert status == 0, said
    lines = (tmp_path / "o/results.jsonl").read_text().splitlines()
    predicted = [json.loads(line)["predicted_musicality"] for line in lines]
    assert len(set(predicted)) == 10


def test_the_list_names_what_is_needed(run) -> None:
    status, said = run("rivals")
    assert status == 0
    assert "songeval-rm" in said
    assert "CC-BY-NC-SA-4.0" in said


@pytest.mark.parametrize("arguments", [[], ["--rivals", "audiobox-ce"], ["--out", "x"]])
def test_what_was_not_said_is_asked_for(run, files: list[AudioFile], tmp_path: Path, arguments: list[str]) -> None:
    status, said = run("rivals", tmp_path / "music", *arguments)
    assert status == 2
    assert "out, rivals" in said
