"""From a published head to scores of real clips: `tunejury convert`, then `tunejury score`, as a user types them.

The head has the published size and random weights, the encoders are tiny ones in the published layout. The real clips
are four that upstream published, where they are; clips of the same kinds stand in for them everywhere.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from closeness import assert_close
from tiny_weights import clap, mert
from tiny_weights.licences import accept_all
from torch_twin import Twin

from feature_export.audio import SignalPath, load
from feature_export.encoders import load_stack
from tunejury_jax.cli import main
from tunejury_jax.head_config import PAPER_WIDTHS

REAL = Path(__file__).parents[3] / "shared" / "data" / "audio"
KINDS = {"p75.wav": (32_000, 1), "p0_before.wav": (44_100, 2), "p0_after.wav": (44_100, 2), "p46.wav": (44_100, 1)}
PROMPT = "high quality instrumental music, a calm piano"

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["tunejury", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        assert left.value.code == 0, printed.err
        return printed.out

    return run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("weights")
    clap.write(root / "clap")
    mert.write(root / "mert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(root))
        accept_all()
        yield root


@pytest.fixture(params=["real", "made"])
def clips(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    if request.param == "real":
        if not REAL.is_dir():
            pytest.skip("the published clips are not here: ../shared/data/audio")
        return sorted(REAL.glob("*.wav"))
    (tmp_path / "clips").mkdir()
    for seed, (name, (rate_hz, channels)) in enumerate(KINDS.items()):
        samples = 0.1 * np.random.default_rng(seed).standard_normal((3 * rate_hz, channels))
        soundfile.write(tmp_path / "clips" / name, samples, rate_hz)
    return sorted((tmp_path / "clips").iterdir())


@pytest.mark.usefixtures("weights")
def test_an_imported_head_scores_clips_as_torch_does(run: Run, clips: list[Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    twin = Twin(2048, PAPER_WIDTHS).unsettle(1).eval()
    torch.save({"state_dict": twin.state_dict()}, tmp_path / "tunejury.pt")
    head, out = tmp_path / "head", tmp_path / "scores.jsonl"
    run("convert", tmp_path / "tunejury.pt", head, "--signal-path", "upstream")
    asked = ("--checkpoint", head, "--prompt", PROMPT, "--prompt-protocol", "both", "--workers", 0, "--out", out)
    printed = run("score", clips[0].parent, *asked)
    assert "8 scored, 0 failed" in printed
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == [clip.name for clip in clips for _ in range(2)]
    stack = load_stack(["clap", "mert"], SignalPath(train16k=True))
    heard = {clip.name: stack.embed_audio(load(clip)) for clip in clips}
    blocks = [heard[row["id"]] | stack.embed_prompt(row["prompt"]) for row in rows]
    features = [np.concatenate([each[name] for name in ("clap_audio", "mert", "clap_text")]) for each in blocks]
    expected = twin(torch.from_numpy(np.stack(features))).detach().numpy()
    assert_close(np.array([row["reward"] for row in rows], np.float32), expected)
    assert len(set(expected.tolist())) == 8
    assert ["no_prompt" in row["flags"] for row in rows] == [False, True] * 4
