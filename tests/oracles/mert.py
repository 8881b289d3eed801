"""MERT's published modelling code with the tiny weights of `tests.tiny_weights.mert`: embeddings and gradients.

Clips are normalised by transformers' own feature extractor and resampled by torchaudio; chunks are cut here by their
bounds, written out. Weights are loaded strictly into the published classes, so their names and shapes are right.
"""

import importlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor

from tests.oracles.signals import direction, music_like
from tests.tiny_weights.mert import NARROW, PREPROCESSOR, build

RATE_HZ = 24_000
GRADIENT_STEP = 97
DIM = NARROW["hidden_size"]
Bounds = Sequence[tuple[int, int]]


def main(out: Path) -> None:
    """Writes `mert.npz`."""
    model = _model()
    short, five = music_like(12_000, RATE_HZ, 0), music_like(120_000, RATE_HZ, 1)
    quiet = (0.003 * five + 0.001).astype(np.float32)
    native = music_like(66_150, 44_100, 2)
    equal, tail, joined = ((0, 48_000), (48_000, 96_000)), ((96_000, 120_000),), ((0, 48_000), (48_000, 96_399))
    golden = {
        **_case("short", model, short),
        **_case("five", model, five),
        **_case("normalized", model, quiet, normalize=True),
        **_case("chunks", model, five, (*equal, *tail)),
        **_case("normalized_chunks", model, quiet, (*equal, *tail), normalize=True),
        **_case("joined", model, five[:96_399], joined),
        **_case("least", model, five[:400]),
        **_case("padded", model, np.pad(five[:300], (0, 100))),
        **_case("int16", model, (3 * five[:48_000]).astype(np.float32), int16=True),
        **_case("native", model, native, rates_hz=(44_100, RATE_HZ)),
        **_case("train16k", model, native, rates_hz=(44_100, 16_000, RATE_HZ)),
        "pair": _embedding(model, torch.from_numpy(np.stack([five[:48_000], five[72_000:]]))),
        **_pooled(model, torch.from_numpy(five[None, :12_000])),
        "frames": np.array([_frames(model, samples) for samples in (400, 719, 720, 24_000)]),
    }
    np.savez_compressed(out / "mert.npz", allow_pickle=False, **golden)


def _model() -> Any:
    """The published classes at the sizes of `NARROW`, everything else as published for 330M."""
    package: Any = importlib.import_module("published_mert.modeling_MERT")
    published = json.loads(Path(package.__file__).with_name("mert_large.json").read_text())
    changed = published | NARROW | {"architectures": ["MERTModel"], "model_type": "mert_model"}
    model = package.MERTModel(package.MERTConfig(**changed)).eval()
    model.load_state_dict(build(NARROW), strict=True)
    return model.requires_grad_(False)


def _case(
    name: str,
    model: Any,
    clip: np.ndarray,
    bounds: Bounds | None = None,
    normalize: bool = False,
    int16: bool = False,
    rates_hz: Sequence[int] = (RATE_HZ,),
) -> dict[str, np.ndarray]:
    """Embedding of a clip, and the gradient of its component along `direction(DIM)`."""
    samples = torch.from_numpy(clip).requires_grad_()
    heard = _resampled(samples, rates_hz)
    given = _int16(heard) if int16 else heard
    given = _normalized(given) if normalize else given
    embedding = _mean(model, given, bounds or ((0, len(given)),))
    (gradient,) = torch.autograd.grad(embedding @ torch.from_numpy(direction(DIM)), samples)
    return {
        name: embedding.detach().numpy(),
        f"{name}_gradient": gradient.numpy()[::GRADIENT_STEP],
        f"{name}_gradient_norm": gradient.double().norm().numpy(),
    }


def _mean(model: Any, samples: Tensor, bounds: Bounds) -> Tensor:
    total = sum((end - start) * _embed(model, samples[None, start:end])[0] for start, end in bounds)
    return torch.as_tensor(total) / sum(end - start for start, end in bounds)


def _embed(model: Any, samples: Tensor) -> Tensor:
    """As upstream calls it, with the mask of ones that the feature extractor adds."""
    mask = torch.ones(samples.shape, dtype=torch.long)
    return model(samples, attention_mask=mask).last_hidden_state.mean(dim=1)


def _pooled(model: Any, samples: Tensor) -> dict[str, np.ndarray]:
    """Other poolings than TuneJury's: mad-metric's, the mean over all hidden states, and one in the middle."""
    made = model(samples, attention_mask=torch.ones_like(samples, dtype=torch.long), output_hidden_states=True)
    states = torch.stack(made.hidden_states)
    pooled = {"maximum": states[-1].amax(1), "all_layers": states.mean((0, 2)), "first_layer": states[1].mean(1)}
    return {f"pooled_{name}": embedding[0].numpy() for name, embedding in pooled.items()}


def _embedding(model: Any, samples: Tensor) -> np.ndarray:
    return _embed(model, samples).numpy()


def _frames(model: Any, samples: int) -> int:
    return model(torch.zeros(1, samples)).last_hidden_state.shape[1]


def _resampled(samples: Tensor, rates_hz: Sequence[int]) -> Tensor:
    resample = importlib.import_module("torchaudio.functional").resample
    for old, new in itertools.pairwise(rates_hz):
        samples = resample(samples, old, new)
    return samples


def _normalized(samples: Tensor) -> Tensor:
    """Values of transformers' feature extractor; gradients of the formula, which it has no gradient of."""
    extractor = Wav2Vec2FeatureExtractor(**PREPROCESSOR | {"do_normalize": True})
    values = extractor(samples.detach().numpy(), sampling_rate=RATE_HZ, return_tensors="pt").input_values[0]
    formula = (samples - samples.mean()) / torch.sqrt(torch.var(samples, unbiased=False) + 1e-7)
    return formula + (values - formula).detach()


def _int16(samples: Tensor) -> Tensor:
    """Truncated as laion_clap does it, with the gradient of the clipping alone."""
    clipped = np.clip(samples.detach().numpy(), -1.0, 1.0)
    steps = (clipped * 32767.0).astype(np.int16).astype(np.float32) / np.float32(32767.0)
    inside = (samples.detach().abs() <= 1).float()
    passed = samples * inside
    return passed + (torch.from_numpy(steps) - passed).detach()
