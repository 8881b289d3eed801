"""The backend of the package muq, here with a stand-in for the package that runs our network."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from closeness import assert_close
from torch import Tensor
from transformers import XLMRobertaModel

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import FAMILIES, Compute
from feature_export.encoders.muq.config import read_config
from feature_export.encoders.muq.conversion import mulan_model
from feature_export.encoders.muq.encoder import MuqAudio, MuqText
from feature_export.encoders.muq.log_mel import LogMel
from feature_export.weights import find_weights
from tests.oracles.signals import music_like
from tests.tiny_weights import muq as tiny


class MuQ:
    """The package's MuQ, whose two first steps have no gradient."""

    def __init__(self, sizes: dict[str, Any]) -> None:
        self.log_mel = LogMel(**{name: sizes["stat"][f"melspec_2048_{name}"] for name in ("mean", "std")})

    @staticmethod
    def from_pretrained(*_: Any, **__: Any) -> None:
        raise AssertionError("would be fetched")

    @torch.no_grad()
    def preprocessing(self, clips: Tensor) -> Tensor:
        return self.log_mel(clips)

    @torch.no_grad()
    def normalize(self, log_mel: Tensor) -> Tensor:
        return log_mel


class MuQMuLan(torch.nn.Module):
    """`muq.MuQMuLan` as far as it is used: loads what has the names of the checkpoint."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        muq = sys.modules["muq"].MuQ.from_pretrained(config["audio_model"]["name"], cache_dir=None)
        roberta = XLMRobertaModel.from_pretrained(config["text_model"]["name"], trust_remote_code=True)
        assert isinstance(roberta, XLMRobertaModel)
        self.mulan = SimpleNamespace(
            audio=SimpleNamespace(model=SimpleNamespace(model=muq)),
            text=SimpleNamespace(_tokenizer=None),
            get_audio_latents=lambda clips: self.native.audio(muq.normalize(muq.preprocessing(clips))),
        )

    def forward(self, texts: list[str]) -> Tensor:
        batch = self.mulan.text._tokenizer(texts, return_tensors="pt", padding=True).to("cpu")
        assert batch["attention_mask"].all()
        return self.native.text(batch["input_ids"])

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:
        return tiny.build(seed=1)

    def load_state_dict(self, state: Any, **_: Any) -> None:
        self.native = mulan_model(read_config(find_weights("muq"), 512), state, "stand-in")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("muq")
    members = {"MuQ": MuQ, "MuQConfig": dict, "MuQMuLan": MuQMuLan}
    stand_in.__dict__.update(members)
    monkeypatch.setitem(sys.modules, "muq", stand_in)
    monkeypatch.setattr("feature_export.encoders.muq_package.version", lambda name: {"muq": "0.1.0"}[name])


@pytest.mark.usefixtures("package", "weights")
def test_equals_our_own_and_says_whose_code_it_is(audio: MuqAudio, text: MuqText) -> None:
    (theirs,), (theirs_text,) = FAMILIES["muq:package"].make(SignalPath(), Compute())
    clip = torch.from_numpy(music_like(300_000, 24_000, 0))[None].requires_grad_()
    wave = Waveform(clip, 24_000)
    gradients = [torch.autograd.grad(encoder.embed(wave)[0], clip)[0] for encoder in (theirs, audio)]
    assert_close(gradients[0].numpy(), gradients[1].numpy(), 1e-6)
    assert_close(theirs.embed(wave).detach().numpy(), audio.embed(wave).detach().numpy(), 1e-6)
    assert_close(theirs_text.embed("piano " * 90).numpy(), text.embed("piano " * 90).numpy(), 1e-6)
    for their, own in ((theirs, audio), (theirs_text, text)):
        assert their.provenance() == own.provenance() | {"backend": "muq", "backend_version": "0.1.0"}


@pytest.mark.usefixtures("package")
def test_another_checkpoint_is_refused(weights: Path) -> None:
    torch.save({"weight": torch.ones(1)}, weights / tiny.MULAN / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"weights of muq:package: not those of this encoder; \d+ missing"):
        FAMILIES["muq:package"].make(SignalPath(), Compute())


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("error", [ImportError("No module named 'muq'"), OSError("_torchaudio.abi3.so")])
def test_says_why_the_package_does_not_import(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    from feature_export.encoders import muq_package

    def refuse(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ValueError, match=f"muq:package: the package muq does not import here .{error}.; use muq"):
        muq_package.make(SignalPath(), Compute())
