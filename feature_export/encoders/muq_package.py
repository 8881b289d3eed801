"""MuQ-MuLan-large through the package `muq` itself, where it imports: it needs torchaudio, torchvision and x-clip.

Chunks, tokens and the reading of weights are ours, so no remote code and no pickle is run, and nothing is fetched; the
spectrum and the networks are the package's. transformers 5.16 and later break it.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from types import MethodType
from typing import Any
from unittest.mock import patch

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import BatchEncoding, XLMRobertaModel

from feature_export.audio import SignalPath
from feature_export.encoders.compute import Compute
from feature_export.encoders.muq.chunks import MuqFraming
from feature_export.encoders.muq.config import MULAN_CONFIG, MUQ_CONFIG, MuqConfig, read_config
from feature_export.encoders.muq.encoder import MuqAudio, MuqText
from feature_export.encoders.muq.published import CHECKPOINT, origins, read_tokens
from feature_export.encoders.state_file import load_strictly, read_state
from feature_export.weights import Weights, find_weights
from tunejury_jax.documents import read_object

__all__ = ["make"]

MAX_BYTES = 1 << 20


def make(path: SignalPath, compute: Compute) -> tuple[tuple[MuqAudio], tuple[MuqText]]:
    """Loads both encoders, which share one model, from the local folder of weights.

    Raises:
        ValueError: The package does not import, or a file is not there, damaged, or not of MuQ-MuLan-large.
    """
    package, weights = _package(), find_weights("muq")
    config = read_config(weights, latent_dim=MuqAudio.block.dim)
    tokens = read_tokens(weights, config)
    model = _model(package, weights, config).to(compute.device)
    audio, text = origins(weights, compute, backend="muq", backend_version=version("muq"))
    return (
        (MuqAudio(MuqFraming(path), _Audio(model, compute), audio),),
        (MuqText(tokens, _Text(model, compute), text),),
    )


def _package() -> Any:
    try:
        return importlib.import_module("muq")
    except (ImportError, RuntimeError, OSError) as error:  # the last two: libraries built for another torch
        raise ValueError(f"muq:package: the package muq does not import here ({error}); use muq") from error


def _model(package: Any, weights: Weights, config: MuqConfig) -> Any:
    """The package's model, frozen, in evaluation mode, and differentiable."""
    with torch.random.fork_rng(devices=()), _parts_without_weights(package, weights, config):
        model = package.MuQMuLan(read_object(weights.file(MULAN_CONFIG), MAX_BYTES))
    load_strictly(model, read_state(weights.file(CHECKPOINT)), "muq:package")
    muq = model.mulan.audio.model.model
    for name in ("preprocessing", "normalize"):  # the package hides these two from autograd
        setattr(muq, name, MethodType(getattr(type(muq), name).__wrapped__, muq))
    return model.eval().requires_grad_(False)


@contextmanager
def _parts_without_weights(package: Any, weights: Weights, config: MuqConfig) -> Iterator[None]:
    """Makes MuQ and XLM-RoBERTa from their sizes: the constructor would fetch weights that the checkpoint replaces."""
    sizes = package.MuQConfig(**read_object(weights.file(MUQ_CONFIG), MAX_BYTES))
    with (
        patch.object(package.MuQ, "from_pretrained", lambda *name, **options: package.MuQ(sizes)),
        patch.object(XLMRobertaModel, "from_pretrained", lambda *name, **options: XLMRobertaModel(config.roberta)),
    ):
        yield


@dataclass(frozen=True)
class _Audio:
    model: Any
    compute: Compute

    def __call__(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        with self.compute.running():
            return self.model.mulan.get_audio_latents(windows.to(self.compute.device, torch.float32))


@dataclass(frozen=True)
class _Text:
    model: Any
    compute: Compute

    def __call__(self, tokens: Sequence[int]) -> Float[Tensor, " dim"]:
        ids = torch.tensor([list(tokens)])
        batch = BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        self.model.mulan.text._tokenizer = lambda texts, **options: batch
        with self.compute.running():
            return self.model(texts=[""])[0]
