"""A tiny LAION-CLAP-Music: every tensor of the published checkpoint by name, and a vocabulary of byte-level tokens.

The numbers come from a generator whose stream NumPy keeps frozen, so golden files need not store them. Imported by the
reference environment too, which has nothing of this project's packages.
"""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

__all__ = ["CHECKPOINT", "DEPTHS", "EMBEDDED", "HEADS", "TEXT", "build", "vocabulary", "write"]

CHECKPOINT = "music_audioset_epoch_15_esc_90.14.pt"
JOINT, BANDS, N_FFT = 512, 64, 1024
EMBEDDED, DEPTHS, HEADS, WINDOW = 16, (1, 1, 2, 1), (1, 2, 4, 8), 8
TEXT = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "max_position_embeddings": 514}
CLASSES = 527
WORDS = ("calm", "piano", "Ġpiano", "Ġmusic", "Ġwith", "Ġa", "Ġfast", "Ġstrings", "Hello", "Ġworld")


def write(folder: Path, seed: int = 0) -> None:
    """Writes checkpoint and vocabulary as `tunejury encoders fetch clap` places them."""
    text = folder / "roberta-base"
    text.mkdir(parents=True, exist_ok=True)
    ids, merges = vocabulary()
    (text / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (text / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n", encoding="utf-8")
    state = {f"module.{key}": value for key, value in build(seed).items()}
    torch.save({"epoch": 15, "name": "tiny", "state_dict": state}, folder / CHECKPOINT)


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Number by token, and the merges: special tokens, all bytes, and the beginnings of `WORDS`."""
    merges = dict.fromkeys((word[:end], word[end]) for word in WORDS for end in range(1, len(word)))
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), *map("".join, merges), "<mask>"]
    return {token: number for number, token in enumerate(tokens)}, list(merges)


def build(seed: int = 0) -> dict[str, Tensor]:
    """The state dict, without the prefix `module.`."""
    random = np.random.RandomState(seed)
    state = _audio_branch() | _text_branch() | _projections()
    drawn = {key: torch.from_numpy(_draw(random, key, shape)) for key, shape in state.items()}
    return drawn | _fixed()


def _draw(random: np.random.RandomState, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values as trained ones are spread: norms near one, decibels for `bn0`, products that keep their size."""
    normal = random.standard_normal(shape)
    if key.endswith("running_mean"):
        normal = 8 * normal - 30
    elif key.endswith("running_var"):
        normal = 200 + 100 * np.tanh(normal)
    elif "norm" in key.lower() or "bn0" in key:
        normal = 0.1 * normal + key.endswith("weight")
    elif "_embeddings" in key:
        normal = 0.05 * normal
    elif len(shape) > 1:
        normal = normal / np.sqrt(np.prod(shape[1:]))
    return (0.1 * normal if len(shape) == 1 and "bias" in key else normal).astype(np.float32)


def _audio_branch() -> dict[str, tuple[int, ...]]:
    shapes = _layer("patch_embed.proj", EMBEDDED, 1, 4, 4) | _norm("patch_embed.norm", EMBEDDED) | _norm("bn0", BANDS)
    shapes |= {"bn0.running_mean": (BANDS,), "bn0.running_var": (BANDS,)}
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        width = EMBEDDED << stage
        for block in range(depth):
            shapes |= _under(f"layers.{stage}.blocks.{block}", _block(width, heads))
        if stage < len(DEPTHS) - 1:
            shapes[f"layers.{stage}.downsample.reduction.weight"] = (2 * width, 4 * width)
            shapes |= _norm(f"layers.{stage}.downsample.norm", 4 * width)
    last = EMBEDDED << len(DEPTHS) - 1
    shapes |= _norm("norm", last) | _layer("tscam_conv", CLASSES, last, 2, 3) | _layer("head", CLASSES, CLASSES)
    return _under("audio_branch", shapes)


def _block(width: int, heads: int) -> dict[str, tuple[int, ...]]:
    shapes = _norm("norm1", width) | _norm("norm2", width)
    shapes |= _layer("attn.qkv", 3 * width, width) | _layer("attn.proj", width, width)
    shapes |= _layer("mlp.fc1", 4 * width, width) | _layer("mlp.fc2", width, 4 * width)
    return shapes | {"attn.relative_position_bias_table": ((2 * WINDOW - 1) ** 2, heads)}


def _text_branch() -> dict[str, tuple[int, ...]]:
    width, inner, rows = TEXT["hidden_size"], TEXT["intermediate_size"], len(vocabulary()[0])
    tables = {"word": rows, "position": TEXT["max_position_embeddings"], "token_type": 1}
    shapes = {f"embeddings.{name}_embeddings.weight": (size, width) for name, size in tables.items()}
    shapes |= _norm("embeddings.LayerNorm", width) | _layer("pooler.dense", width, width)
    block = {}
    for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        block |= _layer(name, width, width)
    block |= _layer("intermediate.dense", inner, width) | _layer("output.dense", width, inner)
    block |= _norm("attention.output.LayerNorm", width) | _norm("output.LayerNorm", width)
    for number in range(TEXT["num_hidden_layers"]):
        shapes |= _under(f"encoder.layer.{number}", block)
    return _under("text_branch", shapes)


def _projections() -> dict[str, tuple[int, ...]]:
    shapes = {"logit_scale_a": (), "logit_scale_t": ()}
    for side, width in (("audio", EMBEDDED << len(DEPTHS) - 1), ("text", TEXT["hidden_size"])):
        shapes |= _layer(f"{side}_projection.0", JOINT, width) | _layer(f"{side}_projection.2", JOINT, JOINT)
        shapes |= _layer(f"{side}_transform.sequential.0", JOINT, JOINT)
        shapes |= _layer(f"{side}_transform.sequential.3", JOINT, JOINT)
    return shapes


def _fixed() -> dict[str, Tensor]:
    """What follows from the sizes: the spectrum's bases, positions, counters, the masks of shifted windows."""
    window = np.hanning(N_FFT + 1)[:-1]
    basis = np.fft.rfft(np.eye(N_FFT) * window, axis=1).T[:, None]
    bands = mel_filter_bank(N_FFT // 2 + 1, BANDS, 50.0, 14000.0, 48000, norm="slaney", mel_scale="slaney")
    stft = "audio_branch.spectrogram_extractor.stft"
    fixed = {
        f"{stft}.conv_real.weight": torch.from_numpy(basis.real.astype(np.float32)),
        f"{stft}.conv_imag.weight": torch.from_numpy(basis.imag.astype(np.float32)),
        "audio_branch.logmel_extractor.melW": torch.from_numpy(bands.astype(np.float32)),
        "audio_branch.bn0.num_batches_tracked": torch.tensor(7),
        "text_branch.embeddings.position_ids": torch.arange(TEXT["max_position_embeddings"])[None],
    }
    for stage, depth in enumerate(DEPTHS):
        blocks = [f"audio_branch.layers.{stage}.blocks.{block}" for block in range(depth)]
        fixed |= {f"{block}.attn.relative_position_index": _relative_positions() for block in blocks}
        size = 64 >> stage
        if size > WINDOW:
            fixed |= {f"{block}.attn_mask": _mask(size) for block in blocks[1::2]}
    return fixed


def _relative_positions() -> Tensor:
    """Row of the bias table by two places of a window: 15 (dy + 7) + dx + 7."""
    y, x = (place.reshape(-1) for place in torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij"))
    return (2 * WINDOW - 1) * (y[:, None] - y + WINDOW - 1) + x[:, None] - x + WINDOW - 1


def _mask(size: int) -> Tensor:
    """-100 between places of a shifted window that come from different edges of the image."""
    side = torch.bucketize(torch.arange(size), torch.tensor([size - WINDOW, size - WINDOW // 2]), right=True)
    regions = (3 * side[:, None] + side).reshape(size // WINDOW, WINDOW, size // WINDOW, WINDOW)
    windows = regions.transpose(1, 2).reshape(-1, WINDOW * WINDOW)
    return -100.0 * (windows[:, None] != windows[:, :, None])


def _layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return _layer(name, width)


def _under(prefix: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{key}": shape for key, shape in shapes.items()}
