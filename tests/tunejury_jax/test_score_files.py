"""Files to score: which are found, and that each gives a row whatever becomes of it."""

from pathlib import Path

import numpy as np
import pytest
from random_ensembles import random_ensemble
from random_heads import random_checkpoint

from tunejury_jax.score_files import AudioFile, find_audio, score_files
from tunejury_jax.scorer import Scorer
from tunejury_jax.store.plan import fingerprint

SUFFIXES = (".wav", ".mp3")


@pytest.fixture
def music(tmp_path):
    for name in ("b.wav", "A.MP3", "deep/er/c.wav", "deep/notes.txt", "cover.jpg", ".wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    return tmp_path


def test_a_folder_is_searched_in_depth_and_the_rest_is_counted(music):
    files, passed_over = find_audio([music], SUFFIXES)
    assert [file.id for file in files] == ["A.MP3", "b.wav", "deep/er/c.wav"]
    assert [file.path for file in files] == [music / file.id for file in files]
    assert passed_over == 3


def test_a_file_is_taken_as_it_is(music):
    files, passed_over = find_audio([music / "deep" / "notes.txt", music / "none.wav"], SUFFIXES)
    assert files == [
        AudioFile("notes.txt", music / "deep" / "notes.txt"),
        AudioFile("none.wav", music / "none.wav"),
    ]
    assert passed_over == 0


def test_inputs_keep_their_order(music):
    files, _ = find_audio([music / "deep", music / "b.wav", music / "deep" / "er"], SUFFIXES)
    assert [file.id for file in files] == ["er/c.wav", "b.wav", "c.wav"]


def test_a_folder_without_audio_is_refused(music):
    (music / "deep" / "er" / "c.wav").unlink()
    with pytest.raises(ValueError, match=r"inputs: folder .*deep holds no audio, accepted are \.mp3, \.wav"):
        find_audio([music / "b.wav", music / "deep"], SUFFIXES)


class Stack:
    """Fails for some files in the ways that a stack does."""

    def provenance(self):
        return random_checkpoint().encoders

    def embed(self, audio, sample_rate_hz, prompt):
        if audio.stem in FAILURES:
            raise FAILURES[audio.stem]
        return {"toy": np.full(8, len(audio.stem), np.float32), "words": np.full(4, len(prompt), np.float32)}


BROKEN = AudioFile("broken", Path("broken.wav"))
FAILURES = {"broken": ValueError("broken.wav: truncated"), "big": RuntimeError("out of memory")}


def test_every_file_gives_a_row_and_an_unusable_one_an_error(tmp_path):
    checkpoint = random_checkpoint()
    names = ("one", "broken", "big", "three")
    files = [AudioFile(f"{name}.wav", tmp_path / f"{name}.wav") for name in names]
    scorer = Scorer(checkpoint, Stack())
    rows = list(score_files(scorer, files, "calm"))
    assert [row.id for row in rows] == ["one.wav", "broken.wav", "big.wav", "three.wav"]
    assert [row.error for row in rows] == [None, "broken.wav: truncated", "out of memory", None]
    assert [row.reward is None for row in rows] == [False, True, True, False]
    assert rows[0].reward == scorer.score(tmp_path / "one.wav", prompt="calm") != rows[3].reward
    for row, file in zip(rows, files, strict=True):
        assert (row.path, row.prompt, row.checkpoint) == (str(file.path), "calm", checkpoint.sha256)
        assert row.encoders == {name: fingerprint({"encoder": name, "revision": "1"}) for name in ("toy", "words")}


def test_an_error_of_ours_is_not_taken_for_one_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setitem(FAILURES, "broken", AttributeError("a bug"))
    with pytest.raises(AttributeError, match="a bug"):
        list(score_files(Scorer(random_checkpoint(), Stack()), [AudioFile("x", tmp_path / "broken.wav")], ""))


def test_a_row_as_json():
    scorer = Scorer(random_checkpoint(), Stack())
    (row,) = score_files(scorer, [AudioFile("a", Path("broken.wav"))], "")
    assert list(row.to_json()) == ["id", "path", "prompt", "reward", "checkpoint", "encoders", "error"]
    assert (row.to_json()["path"], row.to_json()["error"]) == ("broken.wav", "broken.wav: truncated")


def test_a_row_of_an_ensemble_tells_how_far_its_members_disagree():
    scorer = Scorer(random_ensemble(3), Stack(), conservative=0.5)
    good, bad = (row.to_json() for row in score_files(scorer, [AudioFile("a", Path("a")), BROKEN], "calm"))
    for row in (good, bad):
        columns = ["id", "path", "prompt", "reward", "checkpoint", "encoders", "error", "std", "conservative"]
        assert list(row) == columns
        assert row["conservative"] == 0.5
    predicted = scorer.predict(Path("a"), prompt="calm")
    assert (good["reward"], good["std"]) == (predicted.reward, predicted.std)
    assert (bad["reward"], bad["std"], bad["error"]) == (None, None, "broken.wav: truncated")


def test_nothing_to_score_gives_no_row():
    assert list(score_files(Scorer(random_checkpoint(), Stack()), [], "")) == []
