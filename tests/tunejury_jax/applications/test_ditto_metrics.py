"""Side metrics of DITTO: those of the clips before and after, and why others are not there."""

import json

import numpy as np
import pytest

from tunejury_jax.applications.clip_sets import Captioned
from tunejury_jax.applications.ditto.folder import DittoFolder, Outcome
from tunejury_jax.applications.ditto.metrics import metric_changes
from tunejury_jax.generation_metrics import clap_score, mad
from tunejury_jax.generation_metrics.embeddings import Embeddings

DRAWS = np.random.default_rng(0)
ROWS = {side: DRAWS.normal(size=(12, 5)) + shift for side, shift in (("before", 3), ("after", 1), ("real", 0))}
TEXTS = DRAWS.normal(size=(12, 5))


class Sets:
    """Reads the side that a manifest is named for."""

    def __init__(self, name, version="1"):
        self.name, self.version = name, version

    def read(self, inputs):
        (path,) = inputs
        side = path.split("/")[-1].removesuffix(".jsonl")
        version = self.version if side == "real" else "1"
        return Embeddings(ROWS[side], tuple(map(str, range(12))), self.name, {"revision": version})

    def captioned(self, inputs):
        assert self.name == "clap"
        return Captioned(self.read(inputs), TEXTS)


@pytest.fixture
def folder(tmp_path):
    folder = DittoFolder(tmp_path, {})
    good = Outcome("7", "calm piano", 42, [0.0], [1.0], 0, 0.0, 0.0)
    folder.list_clips([good, Outcome("9", "drums", 142, [], [], 0, error="no sound")])
    return folder


def test_clips_are_listed_with_their_prompts_and_without_errors(folder):
    for side in ("before", "after"):
        (line,) = folder.manifest(side).read_text().splitlines()
        assert json.loads(line) == {"path": f"{side}/7.wav", "prompt": "calm piano"}


def test_metrics_are_those_of_either_side(folder):
    found = metric_changes(folder, Sets, "real", "mel")
    assert found["not_computed"] == {}
    assert found["mad_from"] == "mel"
    for name, measure in (("clap_score", clap_score), ("mad", mad)):
        against = TEXTS if name == "clap_score" else ROWS["real"]
        before, after = (measure(ROWS[side], against).to_json() for side in ("before", "after"))
        assert found["metrics"][name] == {"before": before, "after": after, "change": after["value"] - before["value"]}


def test_what_cannot_be_computed_is_told(folder):
    found = metric_changes(folder, Sets)
    assert found["metrics"].keys() == {"clap_score"}
    assert found["not_computed"] == {"mad": "there is no reference set"}
    other = metric_changes(folder, lambda name: Sets(name, version="2"), "real")
    assert "reference: made by another encoder than the clips'" in other["not_computed"]["mad"]
