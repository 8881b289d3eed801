"""The backend of the package laion-clap, here with a stand-in for the package that runs our network."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from torch import Tensor

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import FAMILIES, Compute
from feature_export.encoders.clap.conversion import clap_model
from feature_export.encoders.clap.encoder import ClapAudio, ClapText
from feature_export.encoders.clap.network import AudioNetwork, TextNetwork
from tests.oracles.signals import music_like
from tests.tiny_weights import clap as tiny


class Model(torch.nn.Module):
    """The package's model: loads what has the names of the checkpoint, without the positions."""

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:
        return {key: value for key, value in tiny.build(seed=1).items() if not key.endswith("position_ids")}

    def load_state_dict(self, state: Any, **_: Any) -> None:
        self.native = clap_model(state)


class ClapModule(torch.nn.Module):
    """`laion_clap.CLAP_Module` as far as it is used."""

    def __init__(self, enable_fusion: bool, amodel: str, device: str) -> None:
        super().__init__()
        assert (enable_fusion, amodel, device) == (False, "HTSAT-base", "cpu")
        self.model = Model()

    def get_audio_embedding_from_data(self, clips: Tensor, use_tensor: bool) -> Tensor:
        assert use_tensor
        assert clips.shape[1] == 480_000, "would be cropped at random"
        return F.normalize(AudioNetwork(self.model.native, Compute())(clips), dim=1)

    def get_text_embedding(self, texts: list[str], tokenizer: Callable[[Any], Any], use_tensor: bool) -> Tensor:
        batch = tokenizer(texts)
        assert batch["attention_mask"].all()
        return F.normalize(TextNetwork(self.model.native, Compute())(batch["input_ids"][0].tolist()), dim=0)[None]


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("laion_clap")
    stand_in.CLAP_Module = ClapModule  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "laion_clap", stand_in)
    monkeypatch.setattr("feature_export.encoders.clap_laion.version", lambda name: {"laion-clap": "1.1.7"}[name])


@pytest.mark.usefixtures("package", "weights")
def test_equals_our_own_and_says_whose_code_it_is(audio: ClapAudio, text: ClapText) -> None:
    (theirs,), (theirs_text,) = FAMILIES["clap:laion"].make(SignalPath(), Compute())
    wave = Waveform(torch.from_numpy(music_like(600_000, 48_000, 0))[None], 48_000)
    assert_close(theirs.embed(wave).numpy(), audio.embed(wave).numpy(), 1e-6)
    assert_close(theirs_text.embed("piano " * 90).numpy(), text.embed("piano " * 90).numpy(), 1e-6)
    for their, own in ((theirs, audio), (theirs_text, text)):
        assert their.provenance() == own.provenance() | {"backend": "laion-clap", "backend_version": "1.1.7"}


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("error", [ImportError("No module named 'laion_clap'"), RuntimeError("torchvision::nms")])
def test_says_why_the_package_does_not_import(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", refuse)
    from feature_export.encoders import clap_laion

    with pytest.raises(
        ValueError, match=f"clap:laion: the package laion-clap does not import here .{error}.; use clap"
    ):
        clap_laion.make(SignalPath(), Compute())
