"""`trainers.export`: ensembles and formats, what it writes, prints and refuses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import torch
from random_ensembles import SHARED
from random_heads import random_checkpoint
from torch_twin import Twin

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


@pytest.mark.parametrize("format", ["safetensors", "torch", "orbax", "stablehlo"])
@pytest.mark.parametrize("top", [1, 3])
def test_every_format_is_a_folder_that_describes_itself(run: Path, tmp_path: Path, format: Any, top: int) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out"), format=format, top=top))
    export.main(ExportConfig(str(run), str(tmp_path / "plain"), top=top))
    files = {path.name for path in (tmp_path / "out").iterdir()}
    several = {f"member_{number}.pt" for number in range(3)}
    payload = {
        "safetensors": {"model.safetensors"},
        "torch": several if top == 3 else {"head.pt"},
        "orbax": {"arrays"},
        "stablehlo": {"scorer.stablehlo"},
    }
    assert files == {"config.json", "README.md"} | payload[format]
    assert (tmp_path / "out" / "config.json").read_text() == (tmp_path / "plain" / "config.json").read_text()


def features(rows: int = 7) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 12)).astype(np.float32)


def test_orbax_arrays_are_the_variables_bit_by_bit(run: Path, tmp_path: Path) -> None:
    for top in (1, 3):
        export.main(ExportConfig(str(run), str(tmp_path / f"out{top}"), format="orbax", top=top))
        export.main(ExportConfig(str(run), str(tmp_path / f"plain{top}"), top=top))
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(tmp_path / f"out{top}" / "arrays")
        jax.tree.map(np.testing.assert_array_equal, found, Checkpoint.load(tmp_path / f"plain{top}").variables)


def test_torch_files_average_to_the_ensemble(run: Path, tmp_path: Path) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out"), format="torch", top=3))
    export.main(ExportConfig(str(run), str(tmp_path / "plain"), top=3))
    scores = []
    for number in range(3):
        twin = Twin(12, (6, 4)).eval()
        twin.load_state_dict(torch.load(tmp_path / "out" / f"member_{number}.pt", weights_only=True), strict=True)
        scores.append(twin(torch.from_numpy(features())).detach().numpy())
    expected = Scorer.from_checkpoint(tmp_path / "plain").predict_features(features())
    np.testing.assert_allclose(np.mean(scores, axis=0), expected.mean, atol=2e-5)


ELSEWHERE = """
import sys
from pathlib import Path

import jax
import numpy as np
from jax import export

program = export.deserialize(bytearray(Path(sys.argv[1], "scorer.stablehlo").read_bytes()))
for rows in (1, 7, 300):
    mean, std = jax.jit(program.call)(np.load(sys.argv[2])[:rows])
    assert mean.shape == std.shape == (min(rows, 300),)
np.save(sys.argv[3], np.stack([mean, std]))
foreign = {name.partition(".")[0] for name in sys.modules} & {"tunejury_jax", "trainers", "flax", "torch", "orbax"}
assert not foreign, foreign
"""


@pytest.mark.parametrize("top", [1, 3])
def test_a_compiled_scorer_runs_where_this_project_is_not(run: Path, tmp_path: Path, top: int) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out"), format="stablehlo", top=top))
    export.main(ExportConfig(str(run), str(tmp_path / "plain"), top=top))
    np.save(tmp_path / "x.npy", features(300))
    # -I: nothing of the working directory or of PYTHONPATH can be imported.
    command = [sys.executable, "-I", "-c", ELSEWHERE, tmp_path / "out", tmp_path / "x.npy", tmp_path / "y.npy"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    mean, std = np.load(tmp_path / "y.npy")
    expected = Scorer.from_checkpoint(tmp_path / "plain").predict_features(features(300))
    np.testing.assert_allclose(mean, expected.mean, atol=2e-5)
    np.testing.assert_allclose(std, expected.std, atol=2e-5)
    assert (std.max() > 0.1) == (top > 1)


def test_the_card_of_a_compiled_scorer_is_code_that_runs(run: Path, tmp_path: Path) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out"), format="stablehlo"))
    card = (tmp_path / "out" / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0].replace("THIS_FOLDER", str(tmp_path / "out"))
    names: dict[str, Any] = {}
    exec(code, names)
    expected = Scorer.from_checkpoint(run / "best").score_features(np.zeros((3, 12), np.float32))
    np.testing.assert_allclose(names["mean"], expected, atol=2e-5)
    assert "toy (8), words (4)" in card


def test_the_card_of_orbax_arrays_is_code_that_runs(run: Path, tmp_path: Path) -> None:
    export.main(ExportConfig(str(run), str(tmp_path / "out"), format="orbax"))
    card = (tmp_path / "out" / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace("/absolute/path/to/THIS_FOLDER", str(tmp_path / "out")), names)
    assert names["variables"].keys() == {"params", "batch_stats"}
