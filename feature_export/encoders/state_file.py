"""Weights from files: without running what a pickle asks for, strictly, with errors that name the keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["load_strictly", "read_state"]

SHOWN_KEYS = 5
_DAMAGES = (torch.serialization.pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, KeyError, OSError)

# The optimiser and training facts beside published weights hold NumPy scalars. Nothing else is allowed.
_SCALAR = np.float32(0).__reduce__()[0]  # the function that makes them, under both names it has had
_NUMPY: list[Any] = [
    np.dtype,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    _SCALAR,
    *(type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64", "bool")),
]


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a state dict from `.safetensors`, or from what torch saved, wrapped in `{"state_dict": ...}` or bare.

    Raises:
        ValueError: There is no such file, it is damaged, holds something besides tensors and plain values (such as
            code to run), or no tensors.
    """
    if not path.is_file():
        raise ValueError(f"weights: {path} is not there")
    try:
        document = load_file(path) if path.suffix == ".safetensors" else _read_torch(path)
    except _DAMAGES as error:
        raise ValueError(f"weights: {path} is damaged, or holds more than weights: {_first_line(error)}") from error
    return _tensors(path, document)


def _read_torch(path: Path) -> Any:
    with torch.serialization.safe_globals(_NUMPY):
        return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(path: Path, document: Any) -> dict[str, Tensor]:
    state = document.get("state_dict", document) if isinstance(document, Mapping) else document
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"weights: {path} holds {type(state).__name__}, expected a state dict")
    strangers = [str(key) for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strangers:
        raise ValueError(f"weights: {path}: expected tensors by name, got others at {strangers[:SHOWN_KEYS]}")
    return dict(state)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Loads weights into a module, nothing missing, nothing left over, every shape as it must be, all finite.

    Args:
        module: What the weights are for.
        state: All its parameters and persistent buffers.
        name: Of the weights, for messages.

    Raises:
        ValueError: Says which keys are missing, left over or of another shape, or have values that are not finite.
    """
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    shapes = [f"{k} {found[k]}, expected {wanted[k]}" for k in wanted.keys() & found.keys() if wanted[k] != found[k]]
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "left over": sorted(found.keys() - wanted.keys()),
        "of another shape": sorted(shapes),
        "not finite": sorted(key for key, value in state.items() if not value.isfinite().all()),
    }
    told = [f"{len(keys)} {what}: {', '.join(keys[:SHOWN_KEYS])}" for what, keys in problems.items() if keys]
    if told:
        raise ValueError(f"weights of {name}: not those of this encoder; {'; '.join(told)}")
    module.load_state_dict(state, strict=True)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
