"""`stable-audio-tools` with the tiny weights of `tests.tiny_generators.stable_audio_small`: clips, gradients, latents.

The weights load strictly into what its factory makes of the configuration, so their names and shapes are right. Clips
come from its own `generate_diffusion_cond`, whose samplers are freed of `no_grad` for gradients.
"""

import importlib
import inspect
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import T5EncoderModel

from tests.oracles.signals import direction, music_like
from tests.tiny_generators.stable_audio_small import CONFIG, write

PROMPT, SECONDS, STEPS = "a calm piano", 1.5, 4
KEPT = 17
"""Every so many samples of a clip are recorded."""


def main(out: Path) -> None:
    """Writes `stable_audio_small.npz`."""
    sys.modules["k_diffusion"] = ModuleType("k_diffusion")  # imported, and used by other models only
    tools = {
        name: importlib.import_module(f"stable_audio_tools.inference.{name}") for name in ("sampling", "generation")
    }
    for name in ("sample_discrete_euler", "sample_flow_pingpong"):
        setattr(tools["sampling"], name, inspect.unwrap(getattr(tools["sampling"], name)))
    model = _model(out / "weights")
    golden = {
        **_clip("euler", model, tools["generation"], guidance=6.0),
        **_clip("unguided", model, tools["generation"], guidance=1.0),
        **_clip("pingpong", model, tools["generation"], guidance=1.0),
        **_times(tools["sampling"]),
        "latents": _latents(model, music_like(66_150, 44_100, 3)),
    }
    np.savez_compressed(out / "stable_audio_small.npz", allow_pickle=False, **golden)


def _model(folder: Path) -> Any:
    write(folder)
    text = str(folder / "t5-base")
    conditioners = importlib.import_module("stable_audio_tools.models.conditioners")
    conditioners.T5Conditioner.T5_MODELS = [text]
    conditioners.T5Conditioner.T5_MODEL_DIMS = {text: CONFIG["model"]["conditioning"]["cond_dim"]}
    config = json.loads(json.dumps(CONFIG).replace('"t5-base"', json.dumps(text)))
    factory = importlib.import_module("stable_audio_tools.models.factory")
    model = factory.create_model_from_config(config).eval().requires_grad_(False)
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    # The text encoder was rounded to float16 when it was loaded.
    model.conditioner.conditioners["prompt"].__dict__["model"] = T5EncoderModel.from_pretrained(text).eval()
    return model


def _clip(sampler: str, model: Any, generation: Any, guidance: float) -> dict[str, np.ndarray]:
    """A clip, the noise that it is made from, and the gradient of the clip along a direction in that noise."""
    drawn: list[Tensor] = []
    real = torch.randn, torch.randn_like
    torch.randn = lambda *a, **k: drawn.append(real[0](*a, **k).requires_grad_()) or drawn[-1]  # type: ignore[assignment]
    torch.randn_like = lambda like: drawn.append(real[1](like.detach()).requires_grad_()) or drawn[-1]  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clip = generation.generate_diffusion_cond(
                model,
                steps=STEPS,
                cfg_scale=guidance,
                conditioning=[{"prompt": PROMPT, "seconds_total": SECONDS}],
                sample_size=CONFIG["sample_size"],
                seed=7,
                device="cpu",
                sampler_type="pingpong" if sampler == "pingpong" else "euler",
            )
    finally:
        torch.randn, torch.randn_like = real
    kept = clip[0, :, ::KEPT]
    noise = drawn[:STEPS]  # `pingpong` draws once more, and multiplies it by 0
    gradient = torch.autograd.grad((kept @ torch.from_numpy(direction(kept.shape[1]))).sum(), noise)
    found = {"": kept, "_noise": torch.cat(noise), "_gradient": torch.cat(gradient)}
    return {sampler + name: value.detach().numpy() for name, value in found.items()}


def _latents(model: Any, clip: np.ndarray) -> np.ndarray:
    """Means of the latents of a mono clip, on both channels, and of the silence after it."""
    padded = np.zeros((1, 2, CONFIG["sample_size"]), dtype=np.float32)
    padded[..., : len(clip)] = clip
    return model.pretransform.model.encoder(torch.from_numpy(padded)).chunk(2, dim=1)[0][0].numpy()


def _times(sampling: Any) -> dict[str, np.ndarray]:
    """Shifted times, and quantiles of the truncated logit-normal, which falls with its normal."""
    times, levels = torch.linspace(0.05, 0.95, 19), torch.linspace(0.05, 0.95, 19)
    shifted = [
        sampling.DistributionShift(min_length=256, max_length=4096).time_shift(times, n) for n in (256, 1000, 4096)
    ]
    real = torch.randn
    torch.randn = lambda shape: torch.special.ndtri(1 - levels)  # type: ignore[assignment]
    try:
        quantiles = 1 - sampling.truncated_logistic_normal_rescaled(19)
    finally:
        torch.randn = real
    return {"times": times.numpy(), "shifted": torch.stack(shifted).numpy(), "trunc_quantiles": quantiles.numpy()}
