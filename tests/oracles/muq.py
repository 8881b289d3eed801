"""muq itself with the tiny weights of `tests.tiny_weights.muq`: embeddings, gradients, its spectrum and its tokens.

The weights load strictly into the package's own model, so their names and shapes are the published ones.
"""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MethodType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

from tests.oracles.signals import direction, music_like
from tests.tiny_weights import muq as tiny

RATE_HZ = 24_000
GRADIENT_STEP = 97
PROMPTS = (
    "calm piano with strings",
    "a",
    "fast, 120 bpm! naïve Ελληνικά 钢琴曲 \U0001f3b5\n\tß",
    "  two  spaces ",
    "a <mask> and </s> in the text",
    "sad piano, calm strings. " * 3,
)


def main(out: Path) -> None:
    """Writes `muq.npz`."""
    model = _model()
    golden = _audio(model) | _text(model) | _spectrum(model) | _gradients(model)
    other = _model(text_dim=24, layer=1)
    golden |= {"layer_1": _embed(other, _clip(3.0, 0)[None]), "projected_text": _texts(other, PROMPTS[0])}
    np.savez_compressed(out / "muq.npz", **golden, weights_sha256=np.array(_digest()))


def _model(**sizes: int) -> Any:
    """`MuQMuLan` of the tiny sizes, with the package's own front end."""
    from muq import MuQ, MuQConfig, MuQMuLan

    configs = tiny.configs(**sizes)
    roberta = XLMRobertaModel(XLMRobertaConfig(**configs[tiny.ROBERTA]))
    with (
        patch.object(MuQ, "from_pretrained", lambda *name, **options: MuQ(MuQConfig(**configs[tiny.MUQ]))),
        patch.object(XLMRobertaModel, "from_pretrained", lambda *name, **options: roberta),
    ):
        model = MuQMuLan(configs[tiny.MULAN])
    model.load_state_dict(tiny.build(text_dim=sizes.get("text_dim", tiny.TEXT_DIM)), strict=True)
    model.mulan.text._tokenizer = _tokenizer()
    return model.eval().requires_grad_(False)


def _tokenizer() -> Any:
    with TemporaryDirectory() as folder:
        tiny.write(Path(folder))
        return AutoTokenizer.from_pretrained(Path(folder) / tiny.ROBERTA)


def _digest() -> str:
    """Of the weights, so that golden files of others are recognised."""
    digest = hashlib.sha256()
    for key, value in sorted(tiny.build().items()):
        digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _audio(model: Any) -> dict[str, np.ndarray]:
    loud = 3 * _clip(2.0, 4)
    pair = torch.from_numpy(np.stack([_clip(10.0, 6), _clip(10.0, 7)]))
    return {
        "audio_shortest": _embed(model, _clip(513 / RATE_HZ, 8)[None]),
        "audio_short": _embed(model, _clip(3.0, 0)[None]),
        "audio_wrapped": _embed(model, _clip(7.0, 3)[None]),
        "audio_exact": _embed(model, _clip(10.0, 1)[None]),
        "audio_long": _embed(model, _clip(25.0, 2)[None]),
        "audio_pair": model.mulan.get_audio_latents(pair).numpy(),
        "audio_int16": _embed(model, (np.trunc(loud.clip(-1, 1) * np.float32(32767)) / np.float32(32767))[None]),
        "audio_16k": _embed(model, _through_16k(music_like(3 * 44_100, 44_100, 5))[None]),
    }


def _through_16k(native: np.ndarray) -> np.ndarray:
    from torchaudio.functional import resample

    return resample(resample(torch.from_numpy(native), 44_100, 16_000), 16_000, RATE_HZ).numpy()


def _spectrum(model: Any) -> dict[str, np.ndarray]:
    """Some frames, in dB, before they are normalised."""
    samples = torch.from_numpy(_clip(3.0, 0))[None]
    spectrum = model.mulan.audio.model.model.preprocessing(samples, ["melspec_2048"])["melspec_2048"]
    return {"spectrum": spectrum[0, :, ::20].numpy(), "spectrum_frames": np.array(spectrum.shape[-1])}


def _gradients(model: Any) -> dict[str, np.ndarray]:
    """Of the embedding's component along `direction(512)`; the package hides two steps from autograd."""
    inner = model.mulan.audio.model.model
    for name in ("preprocessing", "normalize"):
        setattr(inner, name, MethodType(getattr(type(inner), name).__wrapped__, inner))
    clips = {"short": _clip(3.0, 0), "exact": _clip(10.0, 1), "long": _clip(25.0, 2)}
    whole = {f"gradient_{name}": _gradient(model, torch.from_numpy(clip)) for name, clip in clips.items()}
    return {name: value[::GRADIENT_STEP] for name, value in whole.items()} | {
        f"{name}_norm": np.linalg.norm(value) for name, value in whole.items()
    }


def _gradient(model: Any, clip: torch.Tensor) -> np.ndarray:
    clip.requires_grad_()
    embedded = model(wavs=clip[None])[0]
    (gradient,) = torch.autograd.grad(embedded @ torch.from_numpy(direction(512)), clip)
    return gradient.numpy()


def _text(model: Any) -> dict[str, np.ndarray]:
    tokens = [model.mulan.text.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    return {
        "prompts": np.array(PROMPTS),
        "tokens": np.array([f"{ids}" for ids in tokens]),
        "text": np.stack([_texts(model, prompt) for prompt in PROMPTS]),
    }


def _texts(model: Any, prompt: str) -> np.ndarray:
    return model(texts=[prompt])[0].numpy()


def _clip(duration_s: float, seed: int) -> np.ndarray:
    return music_like(round(duration_s * RATE_HZ), RATE_HZ, seed)


def _embed(model: Any, clips: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(wavs=torch.from_numpy(clips)).numpy()
