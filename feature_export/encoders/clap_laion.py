"""LAION-CLAP-Music through the package `laion-clap` itself, where it imports: it needs NumPy 1 and torchvision.

Windows, tokens and the reading of weights are ours, so nothing is cropped at random and no pickle is run; the
spectrum and the networks are the package's. It looks up `roberta-base` on the hub when it is imported and built.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import SignalPath
from feature_export.encoders.clap.conversion import bare_names
from feature_export.encoders.clap.encoder import ClapAudio, ClapFraming, ClapText
from feature_export.encoders.clap.published import CHECKPOINT, origins, read_tokens
from feature_export.encoders.compute import Compute
from feature_export.encoders.state_file import load_strictly, read_state
from feature_export.weights import find_weights

__all__ = ["make"]


def make(path: SignalPath, compute: Compute) -> tuple[tuple[ClapAudio], tuple[ClapText]]:
    """Loads both encoders, which share one model, from the local folder of weights.

    Raises:
        ValueError: The package does not import, or a file is not there, damaged, or not of LAION-CLAP-Music.
    """
    module = _package().CLAP_Module(enable_fusion=False, amodel="HTSAT-base", device=compute.device)
    weights = find_weights("clap")
    state = bare_names(read_state(weights.file(CHECKPOINT)))
    state.pop("text_branch.embeddings.position_ids", None)  # kept by older versions of transformers only
    load_strictly(module.model, state, "clap:laion")
    module.eval().requires_grad_(False)
    tokens = read_tokens(weights, state)
    audio, text = origins(weights, compute, backend="laion-clap", backend_version=version("laion-clap"))
    return (
        (ClapAudio(ClapFraming(path), _Audio(module, compute), audio),),
        (ClapText(tokens, _Text(module, compute), text),),
    )


def _package() -> Any:
    try:
        return importlib.import_module("laion_clap")
    except (ImportError, RuntimeError, OSError) as error:  # the last two: libraries built for another torch
        raise ValueError(f"clap:laion: the package laion-clap does not import here ({error}); use clap") from error


@dataclass(frozen=True)
class _Audio:
    module: Any
    compute: Compute

    def __call__(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        with self.compute.running():
            return self.module.get_audio_embedding_from_data(windows.to(self.compute.device), use_tensor=True)


@dataclass(frozen=True)
class _Text:
    module: Any
    compute: Compute

    def __call__(self, tokens: Sequence[int]) -> Float[Tensor, " dim"]:
        ids = torch.tensor([list(tokens)])
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with self.compute.running():
            return self.module.get_text_embedding([], tokenizer=lambda _: batch, use_tensor=True)[0]
