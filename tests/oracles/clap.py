"""laion-clap itself with the tiny weights of `tests.tiny_weights.clap`: embeddings, gradients, and its front end.

The weights load strictly into the package's own model, so their names and shapes are the published ones.
"""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

from tests.oracles.signals import direction, music_like
from tests.tiny_weights import clap as tiny

RATE_HZ, WINDOW = 48_000, 480_000
GRADIENT_STEP = 97
PROMPTS = (
    "calm piano music with strings",
    "Hello world",
    "fast, 120 bpm; naïve Ελληνικά 音楽 \U0001f3b5\n\tloud!",
    "  two  spaces ",
    "a</s> text with x<mask>y",
    "piano " * 100,
)


def main(out: Path) -> None:
    """Writes `clap.npz`."""
    module = _module()
    golden = _front_end(module) | _audio(module) | _gradients(module) | _text(module)
    np.savez_compressed(out / "clap.npz", **golden, weights_sha256=np.array(_digest()))


def _module() -> Any:
    """`CLAP_Module` of the tiny sizes, with the package's own front end."""
    import laion_clap
    from clap_module import factory, htsat, model

    def tiny_audio(config: Any, *fusion: Any) -> torch.nn.Module:
        sizes = {"embed_dim": tiny.EMBEDDED, "depths": list(tiny.DEPTHS), "num_heads": list(tiny.HEADS)}
        return htsat.HTSAT_Swin_Transformer(config=config, **sizes)

    text = RobertaModel(RobertaConfig(vocab_size=len(tiny.vocabulary()[0]), layer_norm_eps=1e-5, **_text_sizes()))
    with (
        patch.dict(factory._MODEL_CONFIGS["HTSAT-base"], embed_dim=tiny.EMBEDDED << len(tiny.DEPTHS) - 1),
        patch.object(model, "create_htsat_model", tiny_audio),
        patch.object(model.RobertaModel, "from_pretrained", lambda name: text),
    ):
        module = laion_clap.CLAP_Module(enable_fusion=False, amodel="HTSAT-base", device="cpu")
    # The package takes the published width for granted here.
    module.model.text_projection[0] = torch.nn.Linear(tiny.TEXT["hidden_size"], 512)
    state = tiny.build()
    del state["text_branch.embeddings.position_ids"]  # as the package's load_ckpt does
    module.model.load_state_dict(state | _computed(module.model, state), strict=True)
    module.tokenize = _tokenizer()
    return module.eval()


def _computed(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The package's own bases, masks and positions, which the tiny weights must have computed as it does."""
    names = ("_extractor.", ".attn_mask", ".relative_position_index")
    own = {key: value for key, value in model.state_dict().items() if any(name in key for name in names)}
    for key, value in own.items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=1e-6)
    return own


def _text_sizes() -> dict[str, int]:
    return tiny.TEXT | {"num_attention_heads": tiny.TEXT["hidden_size"] // 64, "type_vocab_size": 1}


def _tokenizer() -> RobertaTokenizer:
    with TemporaryDirectory() as folder:
        tiny.write(Path(folder))
        return RobertaTokenizer.from_pretrained(Path(folder) / "roberta-base")


def _digest() -> str:
    """Of the weights, so that golden files of others are recognised."""
    digest = hashlib.sha256()
    for key, value in sorted(tiny.build().items()):
        digest.update(key.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _front_end(module: Any) -> dict[str, np.ndarray]:
    """The filterbank, some rows of the Fourier basis, some frames of a spectrum."""
    branch = module.model.audio_branch
    stft = branch.spectrogram_extractor.stft
    rows = np.array([0, 1, 100, 512])
    spectrum = branch.logmel_extractor(branch.spectrogram_extractor(torch.from_numpy(_clip(WINDOW, 1))[None]))
    return {
        "filterbank": branch.logmel_extractor.melW.numpy(),
        "fourier_rows": rows,
        "fourier_real": stft.conv_real.weight[rows].detach().numpy(),
        "fourier_imag": stft.conv_imag.weight[rows].detach().numpy(),
        "log_mel": spectrum[0, 0, ::50].detach().numpy(),
    }


def _audio(module: Any) -> dict[str, np.ndarray]:
    long = _clip(1_200_000, 2)
    np.random.seed(3)
    start = np.random.randint(0, len(long) - WINDOW + 1)  # what the package draws for its crop
    np.random.seed(3)
    cropped = _embed(module, long[None])
    native = music_like(3 * 44_100, 44_100, 5)
    return {
        "audio_short": _embed(module, _clip(144_000, 0)[None]),
        "audio_exact": _embed(module, _clip(WINDOW, 1)[None]),
        "audio_long": cropped,
        "audio_long_start": np.array(start),
        "audio_middle": _embed(module, long[None, (len(long) - WINDOW) // 2 :][:, :WINDOW]),
        "audio_pair": _embed(module, np.stack([_clip(WINDOW, 6), _clip(WINDOW, 7)])),
        "audio_int16": module.get_audio_embedding_from_data(3 * _clip(144_000, 4)[None], use_tensor=False),
        "audio_16k": _embed(module, _through_16k(native)[None]),
    }


def _through_16k(native: np.ndarray) -> np.ndarray:
    from torchaudio.functional import resample

    return resample(resample(torch.from_numpy(native), 44_100, 16_000), 16_000, RATE_HZ).numpy()


def _gradients(module: Any) -> dict[str, np.ndarray]:
    """Of the embedding's component along `direction(512)`, in float32 and float64."""
    clips = {"short": _clip(144_000, 0), "exact": _clip(WINDOW, 1)}
    single = {f"gradient_{name}": _gradient(module, torch.from_numpy(clip)) for name, clip in clips.items()}
    module.double()
    double = {f"gradient64_{name}": _gradient(module, torch.from_numpy(clip).double()) for name, clip in clips.items()}
    module.float()
    norms = {f"{name}_norm": np.linalg.norm(value) for name, value in (single | double).items()}
    return {name: value[::GRADIENT_STEP] for name, value in (single | double).items()} | norms


def _gradient(module: Any, clip: torch.Tensor) -> np.ndarray:
    clip.requires_grad_()
    embedded = module.get_audio_embedding_from_data(clip[None], use_tensor=True)[0]
    (gradient,) = torch.autograd.grad(embedded @ torch.from_numpy(direction(512)).to(embedded), clip)
    return gradient.numpy()


def _text(module: Any) -> dict[str, np.ndarray]:
    ids = module.tokenizer(list(PROMPTS))["input_ids"]
    with torch.no_grad():
        return {
            "prompts": np.array(PROMPTS),
            "tokens": ids.numpy(),
            "text": module.get_text_embedding(list(PROMPTS), use_tensor=True).numpy(),
        }


def _clip(samples: int, seed: int) -> np.ndarray:
    return music_like(samples, RATE_HZ, seed)


def _embed(module: Any, clips: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module.get_audio_embedding_from_data(torch.from_numpy(clips), use_tensor=True).numpy()
