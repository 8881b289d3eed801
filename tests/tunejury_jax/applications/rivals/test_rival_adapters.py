"""Adapters, against stand-ins that have the interface of what the authors publish and compute something known."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tunejury_jax.applications.rivals import RIVALS, RivalScorer, load_rival
from tunejury_jax.applications.rivals.pam import segments

FILES = {
    "songeval-rm": {
        "config.yaml": "",
        "eval.py": """
            import torch
            from model import FACTOR
            class Synthesizer:
                def __init__(self, checkpoint_path, input_path, output_dir, use_cpu=False):
                    self.path, self.device = checkpoint_path, torch.device("cpu" if use_cpu else "cuda")
                def setup(self):
                    self.muq = lambda audio, output_hidden_states: {
                        "hidden_states": [i * audio[..., None] for i in range(8)]}
                    self.model = lambda heard: heard.mean(1).repeat(1, 5) * FACTOR * torch.tensor([1., 2, 3, 4, 5])
            """,
        "model.py": "FACTOR = 10.0",
        "ckpt/model.safetensors": "",
    },
    "cmi-rm": {
        "baselines/__init__.py": "",
        "baselines/inference.py": """
            import numpy as np
            class RewardModelInference:
                def __init__(self, checkpoint, config=None, device="cuda:0"):
                    assert checkpoint.endswith("model.safetensors") and config.endswith("config.yaml")
                def score_batch(self, inputs, batch_size, max_dur, show_progress):
                    return np.array([[-1.0, len(x["text"]) + float(x["audio"].mean())] for x in inputs])
            """,
        "weights/model.safetensors": "",
        "weights/config.yaml": "",
    },
    "pam": {
        "PAM/__init__.py": "from .PAM import PAM",
        "PAM/PAM.py": """
            class PAM:
                def __init__(self, model_fp=None, use_cuda=False):
                    self.model_fp = model_fp
                def evaluate(self, audio_tensors, sample_index=None):
                    scores = audio_tensors.mean(1)
                    parts = [scores[i:j] for i, j in zip(sample_index, sample_index[1:])]
                    return [sum(x).item() / len(x) for x in parts], parts
            """,
    },
}
MUQ_EVAL = """
import torch
class MusicQualityModel(torch.nn.Module):
    def __init__(self, cfg):
        super().__init__()
        assert cfg == {"base": 1, "own": 2}
        self.weight = torch.nn.Parameter(torch.zeros(1))
    def forward(self, waves):
        return {"MI": waves.sum(1) * self.weight, "TA": waves.sum(1)}
"""


@pytest.fixture(autouse=True)
def fresh_modules() -> Iterator[None]:
    """Clones import modules of common names."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("eval", "model", "src", "baselines", "PAM", "omegaconf", "audiobox_aesthetics"):
            del sys.modules[name]


def clone(folder: Path, name: str) -> Path:
    for file, text in FILES[name].items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(dedent(text))
    return folder


def muq_eval(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in ("src/model.py", "configs/base.yaml", "A1/config.yaml"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(MUQ_EVAL)
    torch.save({"weight": torch.tensor([2.0])}, folder / "A1/model_state_dict.pt")
    stand_in = types.ModuleType("omegaconf")
    loaded = {"base.yaml": {"base": 1}, "config.yaml": {"own": 2, "defaults": ["base"]}}

    class OmegaConf:
        load = staticmethod(lambda path: dict(loaded[path.name]))
        merge = staticmethod(lambda base, own: {**base, **own})

    stand_in.OmegaConf = OmegaConf  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "omegaconf", stand_in)
    return folder


def audiobox(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    asked = []

    class Predictor:
        def forward(self, batch):
            assert all(item["path"].ndim == 2 and item["sample_rate"] == 16_000 for item in batch)
            return [{"CE": float(item["path"].mean()), "PQ": -1.0} for item in batch]

    infer = types.ModuleType("audiobox_aesthetics.infer")
    infer.initialize_predictor = lambda ckpt=None: asked.append(ckpt) or Predictor()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics", types.ModuleType("audiobox_aesthetics"))
    monkeypatch.setitem(sys.modules, "audiobox_aesthetics.infer", infer)
    return asked


def level(value: float, seconds: float, rate: int) -> torch.Tensor:
    return torch.full((round(seconds * rate),), value)


def test_songeval_is_the_mean_of_its_axes_on_the_sixth_layer(tmp_path: Path) -> None:
    rival = load_rival(f"songeval-rm={clone(tmp_path, 'songeval-rm')}")
    clips = [level(0.5, 0.1, 24_000), level(0.1, 0.2, 24_000)]
    np.testing.assert_allclose(rival.score_batch(clips, ["", ""]), [6 * 0.5 * 10 * 3, 6 * 0.1 * 10 * 3], rtol=1e-5)


def test_cmi_rm_reads_the_prompt_and_gives_musicality(tmp_path: Path) -> None:
    rival = load_rival(f"cmi-rm={clone(tmp_path, 'cmi-rm')}")
    clips = [level(0.5, 0.1, 24_000)] * 2
    assert rival.score_batch(clips, ["", "four"]) == pytest.approx([0.5, 4.5])
    assert rival.reads_prompts


def test_pam_is_the_mean_over_its_segments(tmp_path: Path) -> None:
    rival = load_rival(f"pam={clone(tmp_path, 'pam')}")
    two = torch.cat([level(0.0, 7, 44_100), level(1.0, 3, 44_100)])  # the second segment is the last 7 s
    assert rival.score_batch([level(0.3, 2, 44_100), two], ["", ""]) == pytest.approx([0.3, (3 / 7) / 2], abs=1e-5)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([1, 2], [[1, 2, 1]]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([1, 2, 3, 4], [[1, 2, 3], [2, 3, 4]]),
        ([1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_segments_of_pam(samples: list[int], expected: list[list[int]]) -> None:
    assert segments(torch.tensor(samples, dtype=torch.float32), 3).tolist() == expected


def test_muq_eval_hears_ten_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rival = load_rival(f"muq-eval-a1={muq_eval(tmp_path, monkeypatch)}")
    assert rival.score_batch([level(0.25, 12, 24_000)], [""]) == [2 * 0.25 * 240_000]


def test_muq_eval_weights_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = muq_eval(tmp_path, monkeypatch)
    torch.save({"other": torch.zeros(1)}, folder / "A1/model_state_dict.pt")
    with pytest.raises(ValueError, match="MuQ-Eval A1"):
        load_rival(f"muq-eval-a1={folder}")


def test_audiobox_gives_the_axis_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = audiobox(monkeypatch)
    save_file({}, tmp_path / "checkpoint.pt")
    assert load_rival("audiobox-ce").score_batch([level(0.5, 1, 16_000)], [""]) == [0.5]
    assert load_rival(f"audiobox-pq={tmp_path / 'checkpoint.pt'}").score_batch([level(0.5, 1, 16_000)], [""]) == [-1]
    assert asked == [None, str(tmp_path / "checkpoint.pt")]


def test_all_keep_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audiobox(monkeypatch)
    sources = {name: f"={clone(tmp_path / name, name)}" for name in FILES}
    sources["muq-eval-a1"] = f"={muq_eval(tmp_path / 'muq', monkeypatch)}"
    for name in RIVALS:
        rival = load_rival(name + sources.get(name, ""))
        assert isinstance(rival, RivalScorer)
        assert rival.name == name


@pytest.mark.parametrize("name", ["songeval-rm", "muq-eval-a1", "cmi-rm", "pam"])
def test_a_clone_must_be_named_and_whole(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: name a clone of"):
        load_rival(name)
    with pytest.raises(ValueError, match="expected a clone of the repository"):
        load_rival(f"{name}={tmp_path}")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = clone(tmp_path, "songeval-rm")
    (folder / "eval.py").write_text("import no_such_package_of_theirs")
    with pytest.raises(ValueError, match="eval needs no_such_package_of_theirs"):
        load_rival(f"songeval-rm={folder}")
    with pytest.raises(ValueError, match="pip install audiobox-aesthetics"):
        load_rival("audiobox-ce")


def test_modules_of_two_clones_are_not_mixed_up(tmp_path: Path) -> None:
    load_rival(f"pam={clone(tmp_path / 'one', 'pam')}")
    with pytest.raises(ValueError, match="another PAM was imported before"):
        load_rival(f"pam={clone(tmp_path / 'two', 'pam')}")


def test_unknown_rivals_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rivals.*'nobody'.*audiobox-ce"):
        load_rival("nobody")
    with pytest.raises(ValueError, match="does not exist"):
        load_rival(f"pam={tmp_path / 'absent'}")
