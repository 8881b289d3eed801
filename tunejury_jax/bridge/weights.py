"""Published weight files (`.pt`) of a head: read without running anything in them, and written for upstream's code.

A published file is the state dict of one `Sequential` called `net` (or `score`, the MuQ head), bare or wrapped in
`{"state_dict": ...}`; next to it there may be a `.json` with the width of the input and the blocks left out of it.
Reading keeps what the head itself does not need but a file has: the module's name and BatchNorm's counts of batches.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tunejury_jax.documents import write_whole
from tunejury_jax.state_dict import COUNTER, StateDict, from_state_dict, infer_config

__all__ = ["MODULES", "Weights", "read_weights", "write_weights"]

MODULES = ("net", "score")
"""Names that published code gives to the Sequential."""

MAX_BYTES = 1 << 30
_DAMAGES = (RuntimeError, EOFError, KeyError, ValueError, torch.serialization.pickle.UnpicklingError)


class Weights(NamedTuple):
    """A head out of a published file.

    Attributes:
        state: Float32 arrays under the names of `state_dict.py`.
        module: What the file calls the Sequential, one of `MODULES`.
        batches: BatchNorm's counts of batches, one a hidden layer.
    """

    state: StateDict
    module: str
    batches: tuple[int, ...]


def read_weights(path: Path) -> Weights:
    """Reads and checks a published weight file; tensors saved on other devices come to the CPU.

    Raises:
        ValueError: Too large, damaged, holding something besides tensors (such as code to run), or not a head; says
            what was expected.
    """
    tensors = _tensors(path, _load(path))
    try:
        module = _module(tensors)
        arrays = {"net" + name.removeprefix(module): _array(name, tensor) for name, tensor in tensors.items()}
        batches = {name: array for name, array in arrays.items() if name.endswith(COUNTER)}
        state = {name: array for name, array in arrays.items() if name not in batches}
        config = infer_config(state)
        from_state_dict(state, config)  # which checks names, shapes and values
        return Weights(state, module, _counts(batches, len(config.widths)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_weights(path: Path, weights: Weights) -> None:
    """Writes a bare state dict, in the order in which upstream's module has its parameters."""
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.state.items()}
    state |= {_counter(layer): torch.tensor(count) for layer, count in enumerate(weights.batches)}
    named = {weights.module + name.removeprefix("net"): state[name] for name in sorted(state, key=_place)}
    buffer = io.BytesIO()
    torch.save(named, buffer)
    write_whole(path, buffer.getvalue())


def _counter(layer: int) -> str:
    return f"net.{4 * layer + 1}{COUNTER}"


_ORDER = ("weight", "bias", "running_mean", "running_var", COUNTER.removeprefix("."))


def _place(name: str) -> tuple[int, int]:
    _, index, kind = name.split(".")
    return int(index), _ORDER.index(kind)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected weights as torch saves them (.pt)")
    _check_size(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGES as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: damaged, or holds more than weights: {reason}") from error


def _check_size(path: Path) -> None:
    """What would be unpacked is bounded before it is: a small archive can hold far more than its size."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a file that torch.save wrote (in its format of 2020 or later), or cut off")
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise ValueError(f"{path}: {size} bytes, accepted are at most {MAX_BYTES}")


def _tensors(path: Path, document: Any) -> dict[str, Tensor]:
    state = document.get("state_dict", document) if isinstance(document, Mapping) else document
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{path}: holds {type(state).__name__}, expected a state dict")
    strangers = [str(name) for name, value in state.items() if not (isinstance(name, str) and _is_plain(value))]
    if strangers:
        raise ValueError(f"{path}: expected plain tensors by name, got others at {strangers[:4]}")
    # An expanded tensor is small in the file and as large as it says when it is copied.
    if (size := sum(tensor.nbytes for tensor in state.values())) > MAX_BYTES:
        raise ValueError(f"{path}: tensors of {size} bytes, accepted are at most {MAX_BYTES}")
    return dict(state)


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def _module(tensors: Mapping[str, Tensor]) -> str:
    names = sorted({name.partition(".")[0] for name in tensors})
    if len(names) != 1 or names[0] not in MODULES:
        raise ValueError(f"state dict: modules {names}, accepted is one of {list(MODULES)}")
    return names[0]


def _array(name: str, tensor: Tensor) -> np.ndarray:
    expected = torch.int64 if name.endswith(COUNTER) else torch.float32
    if tensor.dtype != expected:
        raise ValueError(f"{name}: got {tensor.dtype}, expected {expected}")
    return tensor.detach().contiguous().numpy()


def _counts(found: Mapping[str, np.ndarray], layers: int) -> tuple[int, ...]:
    names = [_counter(layer) for layer in range(layers)]
    if unknown := sorted(found.keys() - set(names)):
        raise ValueError(f"state dict: {unknown[:4]} are not arrays of a head with {layers} hidden layers")
    counts = [found.get(name, np.zeros((), np.int64)) for name in names]
    if any(count.shape != () or count < 0 for count in counts):
        raise ValueError(f"{COUNTER}: expected one whole number from 0 a layer, got {[c.tolist() for c in counts]}")
    return tuple(int(count) for count in counts)
