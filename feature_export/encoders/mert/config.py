"""The published `config.json` and `preprocessor_config.json` of MERT, checked: no code comes with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunejury_jax.documents import read_object

__all__ = ["RATE_HZ", "MertConfig", "read_config", "read_normalize"]

RATE_HZ = 24_000
MAX_BYTES = 1 << 16

_SIZES = {
    "hidden_size": 4096,
    "num_hidden_layers": 96,
    "num_attention_heads": 64,
    "intermediate_size": 16_384,
    "num_conv_pos_embeddings": 1024,
    "num_conv_pos_embedding_groups": 4096,
}
"""Required, and the largest that is taken from a file."""

_LISTS = {"conv_dim": 2048, "conv_kernel": 64, "conv_stride": 64}
_MAX_CONVOLUTIONS = 16
_CHOICES = {"feat_extract_norm": ("group", "layer"), "do_stable_layer_norm": (True, False)}

_FIXED: dict[str, Any] = {
    "feature_extractor_cqt": False,
    "deepnorm": False,
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
    "conv_bias": False,
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5,
}
"""The variants of MERT's code that these weights have. A file may leave them out: they are its defaults."""


@dataclass(frozen=True)
class MertConfig:
    """What the network is built from.

    Attributes:
        architecture: Fields of `transformers.HubertConfig`.
    """

    architecture: Mapping[str, Any]

    @property
    def shortest(self) -> int:
        """Samples that the convolutions need for one frame: 400 with the published ones."""
        samples = 1
        steps = zip(self.architecture["conv_kernel"], self.architecture["conv_stride"], strict=True)
        for kernel, stride in reversed(list(steps)):
            samples = (samples - 1) * stride + kernel
        return samples


def read_config(path: Path, dim: int | None = None) -> MertConfig:
    """Reads and checks `config.json`.

    Args:
        path: The file.
        dim: The width that `hidden_size` must have; None for any.

    Raises:
        ValueError: Too large, not JSON, a field is missing or not accepted, or of a variant that is not supported.
    """
    document = read_object(path, MAX_BYTES)
    for field, value in _FIXED.items():
        _one_of(path, field, document.get(field, value), (value,))
    for field, accepted in _CHOICES.items():
        _one_of(path, field, document.get(field), accepted)
    sizes = {field: _size(path, field, document.get(field), limit) for field, limit in _SIZES.items()}
    lists = {field: _sizes(path, field, document.get(field), limit) for field, limit in _LISTS.items()}
    _check_shapes(path, sizes, lists)
    if dim is not None:
        _one_of(path, "hidden_size", sizes["hidden_size"], (dim,))
    return MertConfig(sizes | lists | {field: document[field] for field in _CHOICES})


def read_normalize(path: Path) -> bool:
    """Reads `do_normalize` of `preprocessor_config.json`: whether clips are brought to mean 0 and variance 1.

    Raises:
        ValueError: Too large, not JSON, no such field, or another sampling rate than 24 kHz.
    """
    document = read_object(path, MAX_BYTES)
    _one_of(path, "sampling_rate", document.get("sampling_rate"), (RATE_HZ,))
    return _one_of(path, "do_normalize", document.get("do_normalize"), (True, False))


def _one_of(path: Path, field: str, value: Any, accepted: tuple[Any, ...]) -> Any:
    # 0 == False, so types are compared too.
    if any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in accepted):
        return value
    raise ValueError(f"{path}: {field}: got {value!r}, accepted are {', '.join(map(repr, accepted))}")


def _size(path: Path, field: str, value: Any, limit: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
        raise ValueError(f"{path}: {field}: got {value!r}, accepted are whole numbers from 1 to {limit}")
    return value


def _sizes(path: Path, field: str, value: Any, limit: int) -> list[int]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_CONVOLUTIONS:
        raise ValueError(f"{path}: {field}: got {value!r}, accepted are 1 to {_MAX_CONVOLUTIONS} numbers")
    return [_size(path, field, item, limit) for item in value]


def _check_shapes(path: Path, sizes: Mapping[str, int], lists: Mapping[str, list[int]]) -> None:
    if len({len(values) for values in lists.values()}) > 1:
        raise ValueError(f"{path}: {', '.join(lists)}: got {[len(v) for v in lists.values()]} values, expected as many")
    for field in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if sizes["hidden_size"] % sizes[field]:
            raise ValueError(f"{path}: {field}: got {sizes[field]}, expected a divisor of {sizes['hidden_size']}")
