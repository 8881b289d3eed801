"""Metrics of sets of clips: of which clips and in which embeddings they are, and what is told of the others."""

from pathlib import Path

import numpy as np
import pytest

from tunejury_jax.applications.best_of_n.selection import BestOfN
from tunejury_jax.applications.candidates import Scored, list_candidates
from tunejury_jax.applications.clip_sets import Captioned, ClipSets
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.applications.side_metrics import side_metrics
from tunejury_jax.generation_metrics import clap_score, fad, mad, mpcd
from tunejury_jax.generation_metrics.embeddings import Embeddings

COUNT, SIZES, DIM, LEFT_OUT = 4, (1, 2, 4), 6, 3
PROMPTS = Path("prompts.json")
REAL = [f"real-{number}" for number in range(14)]


def embedded(*words):
    """Some numbers of its own for every text."""
    return np.random.default_rng(list(" ".join(words).encode())).normal(size=DIM).astype(np.float32)


def rows(name, ids):
    return np.stack([embedded(name, each) for each in ids])


class ToySets(ClipSets):
    """Embeds a file by its name, and as caption of a clip the name of its prompt; knows no MERT if it is told so."""

    unknown, heard = (), []

    def read(self, inputs, selection=None):
        if self.name in self.unknown:
            raise ValueError(f"{self.name}: no weights")
        if inputs == ["real"]:
            self.failed |= {"real-14": "broken"}
            return self._embeddings(REAL)
        self.heard += inputs
        return self._embeddings([Path(path).name for path in inputs])

    def captioned(self, inputs, selection=None, prompts=None, prefix=""):
        assert prompts == PROMPTS
        made = self.read(inputs)
        return Captioned(made, rows("caption", [each.rpartition("_c")[0] for each in made.ids]))

    def _embeddings(self, ids):
        return Embeddings(rows(self.name, ids), tuple(ids), self.name, {"encoder": "toy"})


@pytest.fixture
def sets(monkeypatch):
    monkeypatch.setattr(ToySets, "heard", [])
    return ToySets


@pytest.fixture
def found(tmp_path):
    """Twelve prompts of four candidates; one prompt has no reward at N = 1."""
    prompts = [Prompt(str(number), f"caption {number}") for number in range(12)]
    rewards = np.random.default_rng(0).normal(size=COUNT * 12).tolist()
    rewards[LEFT_OUT] = None
    candidates = list_candidates(tmp_path, prompts, COUNT)
    scored = [Scored(*each, None, (), None) for each in zip(candidates, rewards, strict=True)]
    return BestOfN.of(prompts, scored, SIZES)


def kept(found):
    """The sets of clips that are measured."""
    return [[best.candidate.path for best in of_size] for of_size in found.kept()]


def test_each_metric_is_that_of_the_selected_clips_in_the_published_embedding(found, sets):
    told = side_metrics(kept(found), sets, PROMPTS, "real")
    prompts = [number for number in range(12) if number != LEFT_OUT]
    captions = rows("caption", map(str, prompts))
    for place, size in enumerate(SIZES):
        names = []
        for prompt in prompts:
            best = max(range(size), key=lambda number: found.scored[number * 12 + prompt].reward)
            names.append(f"{prompt}_c{best}.wav")
        expected = {
            "clap_score": clap_score(rows("clap", names), captions),
            "fad": fad(rows("clap", names), rows("clap", REAL)),
            "mad": mad(rows("mert", names), rows("mert", REAL)),
            "mpcd": mpcd(rows("mert", names)),
        }
        for name, value in expected.items():
            assert told.by_name[name][place] == value.to_json(), name
    assert told.embeddings == {"clap_score": "clap", "fad": "clap", "mad": "mert", "mpcd": "mert"}
    assert told.not_computed == {}
    assert told.reference_failed == {"real-14": "broken"}


def test_another_embedding_takes_the_place_of_all_but_clap_score(found, sets):
    told = side_metrics(kept(found), sets, PROMPTS, "real", "mel")
    assert told.embeddings == {"clap_score": "clap", "fad": "mel", "mad": "mel", "mpcd": "mel"}


def test_a_clip_that_is_selected_more_than_once_is_heard_once(found, sets):
    side_metrics(kept(found), sets, PROMPTS, None, "mel")
    of_mel = sets.heard[-len(set(sets.heard)) :]
    assert sorted(of_mel) == sorted({str(path) for of_size in kept(found) for path in of_size})


def test_clips_of_one_name_in_two_folders_are_two(monkeypatch, sets):
    """As those of the branches of expert iteration."""
    folders = [[Path(folder) / f"{number}_c0.wav" for number in range(12)] for folder in ("a", "b")]

    def read(self, inputs, selection=None):
        return Embeddings(rows(self.name, inputs), tuple(Path(path).name for path in inputs), self.name, {})

    monkeypatch.setattr(sets, "read", read)
    told = side_metrics(folders, sets, PROMPTS, embedding="mel")
    expected = [mpcd(rows("mel", map(str, paths))).to_json() for paths in folders]
    assert told.by_name["mpcd"] == expected
    assert expected[0] != expected[1]


def test_what_is_not_computed_is_told(found, sets, monkeypatch):
    monkeypatch.setattr(sets, "unknown", ("clap",))
    told = side_metrics(kept(found), sets, PROMPTS)
    assert told.not_computed == {
        "clap_score": "clap: no weights",
        "fad": "clap: no weights",
        "mad": "there is no reference set",
    }
    assert told.embeddings == {"mpcd": "mert"}


def test_a_selected_clip_that_cannot_be_embedded_leaves_no_number(found, sets, monkeypatch):
    def failing(self, inputs, selection=None):
        self.failed |= {"x.wav": "too short"}
        return self._embeddings([Path(path).name for path in inputs[1:]])

    monkeypatch.setattr(sets, "read", failing)
    told = side_metrics(kept(found), sets, PROMPTS, "real")
    assert told.by_name == {}
    assert set(told.not_computed.values()) == {"1 clips cannot be used, such as x.wav: too short"}


def test_one_clip_has_no_distance(found, sets):
    one = BestOfN.of(found.prompts[:1], found.scored[::12], SIZES)
    told = side_metrics(kept(one), sets, PROMPTS, "real")
    assert set(told.not_computed) == {"clap_score", "fad", "mad", "mpcd"}
    assert all("expected at least 2 clips, got 1" in reason for reason in told.not_computed.values())
