"""`trainers.export` on ensembles: what it writes, prints and refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_ensembles import SHARED
from random_heads import random_checkpoint

from trainers import export
from trainers.config import ExportConfig
from trainers.run_folder import RunFolder
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.scorer import Scorer

LOSSES = (0.5, 0.25, 0.75)


def trial(number: int) -> dict[str, Any]:
    measured = {"valid_loss": LOSSES[number], "valid_accuracy": 0.5, "best_epoch": 1, "epochs": 2, "seconds": 0.1}
    return {"trial": number, "state": "complete", "params": {"head": "all", "seed": number}, **measured, "error": None}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = RunFolder(tmp_path / "run")
    for number, loss in enumerate(LOSSES):
        metrics = {"valid_loss": loss, "valid_score_mean": 2.0 * number}
        head = random_checkpoint(seed=number, training=SHARED, metrics=metrics)
        head.save(folder.heads / str(number))
        if number == 1:
            head.save(folder.best)
    folder.write_trials([trial(number) for number in range(3)])
    return folder.path


@pytest.mark.parametrize(
    ("asked", "trials"),
    [({"top": 2}, (1, 0)), ({"trials": (2, 0)}, (2, 0)), ({"head": "all"}, (1, 0, 2)), ({"top": 3}, (1, 0, 2))],
    ids=str,
)
def test_an_ensemble_is_written_and_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: dict[str, Any], trials: tuple[int, ...]
) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out"), **asked))
    found = Checkpoint.load(tmp_path / "out")
    heads = [Checkpoint.load(run / "heads" / str(number)) for number in trials]
    assert [member["sha256"] for member in found.training["members"]] == [head.sha256 for head in heads]
    assert found.metrics["valid_loss_of_members"] == [LOSSES[number] for number in trials]
    lines = [f"trial {number}: validation loss {LOSSES[number]:.4f}" for number in trials]
    written = f"Written: {tmp_path / 'out'} ({found.sha256[:12]}, blocks toy, words, {len(trials)} members)"
    assert capsys.readouterr().out.splitlines() == [*lines, written]


def test_it_scores_by_the_centred_mean_of_the_heads(run: Path, tmp_path: Path) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out"), top=3))
    x = np.random.default_rng(0).standard_normal((9, 12)).astype(np.float32)
    heads = [Scorer.from_checkpoint(run / "heads" / str(number)).score_features(x) for number in range(3)]
    centred = np.stack(heads).astype(np.float64) + np.array([[2.0], [0.0], [-2.0]])
    found = Scorer.from_checkpoint(tmp_path / "out").predict_features(x)
    np.testing.assert_allclose(found.mean, centred.mean(axis=0), atol=2e-5)
    np.testing.assert_allclose(found.std, centred.std(axis=0), atol=2e-5)


def test_nothing_asked_for_is_the_best_head(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out")))
    export.main(ExportConfig(str(run), str(tmp_path / "one"), top=1))
    best = Checkpoint.load(run / "best").sha256
    assert Checkpoint.load(tmp_path / "out").sha256 == Checkpoint.load(tmp_path / "one").sha256 == best
    assert capsys.readouterr().out.splitlines()[0] == f"Written: {tmp_path / 'out'} ({best[:12]}, blocks toy, words)"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"top": 4}, "top: got 4, the run kept 3 heads"),
        ({"trials": (0, 7)}, "trials: 7 not kept"),
        ({"head": "none"}, "head: got 'none', accepted are 'all'"),
        ({"trials": (1, 0, 1)}, "member 2: is the same head as member 0"),
    ],
    ids=str,
)
def test_what_the_run_does_not_have_is_refused_and_nothing_written(
    run: Path, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export.main(ExportConfig(str(run), str(tmp_path / "out"), **asked))
    assert not (tmp_path / "out").exists()


def test_a_folder_is_not_overwritten_by_an_ensemble(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"out: .* exists already; name a new folder"):
        export.main(ExportConfig(str(run), str(run), top=2))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"top": 0}, "top: got 0, accepted is at least 1"),
        ({"top": 2, "head": "all"}, "top, trials, head: got 'top, head', accepted is one of them"),
        ({"top": 2, "trials": (1,), "head": "all"}, "got 'top, trials, head', accepted is one of them"),
    ],
)
def test_options_that_make_no_choice_are_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportConfig("run", "out", **asked)
