"""The only crop of the project: from a clip of any length to windows of the length an encoder takes.

A longer clip is cut where `SignalPath.crop` says:

* `middle` (default): the middle window, the same at every call;
* `first`: the first window;
* `random`: one window at a place drawn from the seed and the clip's length, the same at every call;
* `windows`: consecutive windows that cover the clip, the last one aligned to its end; the encoder averages them.

A shorter clip is repeated `int(length / samples)` times and then padded with zeros.
"""

import hashlib

import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import SignalPath

__all__ = ["crop"]


def crop(samples: Float[Tensor, " samples"], length: int, path: SignalPath) -> Float[Tensor, "windows length"]:
    """Cuts or fills a clip to windows of `length` samples; differentiable.

    Args:
        samples: Mono waveform at the encoder's rate.
        length: Samples a window.
        path: `crop` and `seed` are read.

    Raises:
        ValueError: There are no samples, or `length` is not positive.

    >>> crop(torch.arange(5.0), 2, SignalPath(crop="windows")).tolist()
    [[0.0, 1.0], [2.0, 3.0], [3.0, 4.0]]
    >>> crop(torch.tensor([1.0, 2.0]), 5, SignalPath()).tolist()
    [[1.0, 2.0, 1.0, 2.0, 0.0]]
    """
    if length < 1 or not len(samples):
        raise ValueError(f"samples, length: expected at least one each, got {len(samples)} and {length}")
    if len(samples) <= length:
        return _filled(samples, length)[None]
    return torch.stack([samples[start : start + length] for start in _starts(len(samples), length, path)])


def _filled(samples: Float[Tensor, " samples"], length: int) -> Float[Tensor, " length"]:
    tiled = samples.repeat(length // len(samples))
    return torch.nn.functional.pad(tiled, (0, length - len(tiled)))


def _starts(samples: int, length: int, path: SignalPath) -> list[int]:
    last = samples - length
    match path.crop:
        case "first":
            return [0]
        case "middle":
            return [last // 2]
        case "random":
            return [_drawn(path.seed, samples, last)]
        case "windows":
            return [*range(0, last, length), last]


def _drawn(seed: int, samples: int, last: int) -> int:
    # The generator looks at 32 bits of its seed only, so both numbers are hashed into them.
    digest = hashlib.blake2b(f"{seed} {samples}".encode(), digest_size=4).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest))
    return int(torch.randint(last + 1, (), generator=generator, device="cpu"))
