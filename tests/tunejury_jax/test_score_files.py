"""Files to score: which are found, and that each gives a row whatever becomes of it."""

import dataclasses

import pytest
from audio_factory import write_bad, write_clips
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from toy_stack import TOY, ToyAudio, toy_stack

from tunejury_jax.score_files import IDENTITY, PROTOCOLS, AudioFile, ScoreRow, find_audio, planned_rows, score_files
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


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    root = tmp_path_factory.mktemp("audio")
    return [AudioFile(name, root / name) for name in (*write_clips(root, 3), *write_bad(root))]


def toy_scorer(audio_encoder=None, **options):
    return Scorer(random_checkpoint(TOY), toy_stack(audio_encoder), **options)


def test_every_file_gives_a_row_in_order_and_an_unusable_one_an_error(audio):
    files = [audio[0], *audio[3:], *audio[1:3]]
    scorer = toy_scorer()
    rows = list(score_files(scorer, files, "calm"))
    assert [(row.id, row.path) for row in rows] == [(file.id, str(file.path)) for file in files]
    assert [row.error is None for row in rows] == [row.reward is not None for row in rows]
    good = [row for row in rows if row.error is None]
    assert [row.id for row in good] == ["000.wav", "001.wav", "002.wav"]
    for row in good:
        assert row.reward == scorer.score(row.path, prompt="calm")
    assert len({row.reward for row in good}) == 3
    for row in rows:
        assert (row.prompt, row.checkpoint, row.std) == ("calm", scorer.checkpoint.sha256, None)
        assert row.encoders == {name: fingerprint(made_by) for name, made_by in TOY.items()}


def test_planned_rows_are_the_rows_without_what_becomes_of_them(audio):
    scorer = toy_scorer()
    planned = list(planned_rows(scorer, audio, "calm", PROTOCOLS["both"]))
    rows = list(score_files(scorer, audio, "calm", PROTOCOLS["both"]))
    asked = [field.name for field in dataclasses.fields(ScoreRow)][:IDENTITY]
    assert [[getattr(row, name) for name in asked] for row in planned] == [
        [getattr(row, name) for name in asked] for row in rows
    ]
    assert {row.reward for row in planned} == {None}


def test_both_protocols_encode_the_audio_once(audio):
    encoder = ToyAudio()
    rows = list(score_files(toy_scorer(encoder), audio[:3], "calm", PROTOCOLS["both"]))
    assert len(encoder.heard) == 3
    assert [(row.prompt_protocol, row.prompt) for row in rows] == [("with", "calm"), ("empty", "")] * 3
    assert [row.reward for row in rows[1::2]] == [row.reward for row in score_files(toy_scorer(), audio[:3], "")]
    assert ["no_prompt" in row.flags for row in rows] == [False, True] * 3


def test_a_clip_named_twice_is_heard_once_and_has_its_own_prompts(audio):
    encoder, path = ToyAudio(), audio[0].path
    files = [AudioFile("a", path, "calm"), AudioFile("b", path, "loud drums"), AudioFile("c", path, None, (0.1, 0.2))]
    scorer = toy_scorer(encoder)
    a, b, c = score_files(scorer, files, "calm")
    assert len(encoder.heard) == 2
    assert (a.prompt, b.prompt, c.prompt) == ("calm", "loud drums", "calm")
    assert (c.start_s, c.end_s, a.start_s) == (0.1, 0.2, None)
    assert len({a.reward, b.reward, c.reward}) == 3


def test_an_error_of_ours_is_not_taken_for_one_of_the_file(audio):
    class Broken(ToyAudio):
        def embed(self, wave):
            raise AttributeError("a bug")

    with pytest.raises(AttributeError, match="a bug"):
        list(score_files(toy_scorer(Broken()), audio[:1]))


def test_a_prompt_that_cannot_be_read_is_an_error_of_its_rows(audio, monkeypatch):
    scorer = toy_scorer()

    def refuse(text):
        raise ValueError(f"cannot read {text!r}")

    monkeypatch.setattr(type(scorer.stack.text[0]), "cut_tokens", lambda self, text: refuse(text) if text else 0)
    with_prompt, without = score_files(scorer, audio[:1], "calm", PROTOCOLS["both"])
    assert (with_prompt.error, without.error) == ("cannot read 'calm'", None)


def test_a_row_of_an_ensemble_tells_how_far_its_members_disagree(audio):
    scorer = Scorer(random_ensemble(3, encoders=TOY), toy_stack(), conservative=0.5)
    good, bad = score_files(scorer, [audio[0], audio[3]], "calm")
    predicted = scorer.predict(good.path, prompt="calm")
    assert (good.reward, good.std, good.conservative) == (predicted.reward, predicted.std, 0.5)
    assert (bad.reward, bad.std, bad.conservative, bad.error) == (None, None, 0.5, "no such file")


def test_nothing_to_score_gives_no_row():
    assert list(score_files(toy_scorer(), [])) == []
