"""The parts of a pipeline of diffusers, from local folders."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline, SchedulerMixin
from torch import nn

from tunejury_jax.applications.generators.loading import from_pretrained, load_pretrained, load_tokenizer

__all__ = ["load_parts", "networks_of"]


def load_parts(folder: Path, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Loads networks strictly, tokenizers and samplers; each lies in the folder of its name.

    Raises:
        ValueError: One cannot be loaded.
    """
    with warnings.catch_warnings():  # of torch, that diffusers uses its older weight normalisation
        warnings.filterwarnings("ignore", "`torch.nn.utils.weight_norm`", FutureWarning)
        return {name: _load_part(folder / name, kind) for name, kind in kinds.items()}


def _load_part(folder: Path, kind: Any) -> Any:
    if issubclass(kind, nn.Module):
        return load_pretrained(kind, folder)
    return from_pretrained(kind, folder) if issubclass(kind, SchedulerMixin) else load_tokenizer(kind, folder)


def networks_of(pipeline: DiffusionPipeline) -> nn.ModuleDict:
    """All networks of a pipeline, by name."""
    return nn.ModuleDict({name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)})
