"""A tiny MuQ-MuLan-large: every tensor of the published checkpoint by name, the sizes of its parts, and a tokenizer.

The numbers come from a generator whose stream NumPy keeps frozen, so golden files need not store them. Imported by the
reference environment too, which has nothing of this project's packages.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

__all__ = ["MULAN", "MUQ", "ROBERTA", "build", "configs", "tokenizer", "write"]

MULAN, MUQ, ROBERTA = "MuQ-MuLan-large", "MuQ-large-msd-iter", "xlm-roberta-base"
LATENT, BANDS = 512, 128
WIDTH, DEPTH, HEADS, INNER, KERNEL, CHANNELS, CODES = 64, 2, 4, 96, 31, 4, 16
BLOCKS = {"tf_depth": 2, "heads": 2, "dim_head": 16, "ff_mult": 4}
AUDIO_DIM, TEXT_DIM = 48, 32
TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 66}
WORDS = ("▁calm", "▁piano", "▁sad", "▁fast", "▁with", "▁string", "▁the", "ing", "钢琴", "曲")
SIGNS = tuple("ßé🎵,.!120")


def write(folder: Path, seed: int = 0) -> None:
    """Writes weights, sizes and tokenizer as `tunejury encoders fetch muq` places them."""
    for name, config in configs().items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer().save(str(folder / ROBERTA / "tokenizer.json"))
    torch.save(build(seed), folder / MULAN / "pytorch_model.bin")


def configs(text_dim: int | None = None, layer: int = -1) -> dict[str, dict[str, Any]]:
    """`config.json` of each part.

    Args:
        text_dim: Width of the blocks of the text, by default that of XLM-RoBERTa as published, so nothing is between.
        layer: The hidden state of MuQ that MuLan reads.
    """
    blocks = BLOCKS | {"attn_dropout": 0.0, "ff_dropout": 0.0}
    mulan = {
        "mulan": {"sr": 24000, "clip_secs": 10, "dim_latent": LATENT, "rank_contrast": True},
        "audio_model": {"name": f"OpenMuQ/{MUQ}", "model_dim": WIDTH, "use_layer_idx": layer},
        "text_model": {"name": ROBERTA, "model_dim": TEXT["hidden_size"], "use_layer_idx": -1},
        "audio_transformer": blocks | {"dim": AUDIO_DIM},
        "text_transformer": blocks | {"dim": text_dim or TEXT_DIM, "max_seq_len": 1024},
    }
    return {MULAN: mulan, MUQ: _muq_config(), ROBERTA: _roberta_config()}


def _muq_config() -> dict[str, Any]:
    conformer = {
        "hidden_act": "swish",
        "feat_extract_activation": "gelu",
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "conv_depthwise_kernel_size": KERNEL,
        "layer_norm_eps": 1e-5,
        "position_embeddings_type": "rotary",
        "rotary_embedding_base": 10000,
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
        "layerdrop": 0.0,
    }
    dropouts = ("activation_dropout", "attention_dropout", "hidden_dropout", "conformer_conv_dropout")
    return {
        "label_rate": 25,
        "hop_length": 240,
        "n_mels": BANDS,
        "conv_dim": CHANNELS,
        "encoder_dim": WIDTH,
        "encoder_depth": DEPTH,
        "codebook_size": CODES,
        "stat": {"melspec_2048_mean": 6.768444971712967, "melspec_2048_std": 18.417922652295623},
        "w2v2_config": conformer | dict.fromkeys(dropouts, 0.1),
        "use_rvq_target": True,
        "rvq_n_codebooks": 1,
        "recon_loss_ratio": 0.1,
    }


def _roberta_config() -> dict[str, Any]:
    config = {"model_type": ROBERTA.removesuffix("-base"), "vocab_size": tokenizer().get_vocab_size(), **TEXT}
    eps = {"num_attention_heads": 4, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "type_vocab_size": 1}
    return config | eps | {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}


def tokenizer() -> Tokenizer:
    """Built as that of XLM-RoBERTa, with the letters and a few words."""
    letters = [f"{begin}{letter}" for begin in ("▁", "") for letter in "abcdefghijklmnopqrstuvwxyz"]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    scores = [(piece, 0.0) for piece in special]
    scores += [("▁", -3.0), *((piece, -4.0) for piece in letters), *((piece, -5.0) for piece in WORDS + SIGNS)]
    made = Tokenizer(models.Unigram(scores, unk_id=3, byte_fallback=False))
    split = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), split])
    ends = [("<s>", 0), ("</s>", 2)]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    made.add_special_tokens([*special, AddedToken("<mask>", lstrip=True)])
    return made


def build(seed: int = 0, text_dim: int | None = None) -> dict[str, Tensor]:
    """The state dict."""
    random = np.random.RandomState(seed)
    shapes = _muq() | _roberta() | _mulan(text_dim or TEXT_DIM)
    drawn = {key: torch.from_numpy(_draw(random, key, shape)) for key, shape in shapes.items()}
    return drawn | _fixed()


def _draw(random: np.random.RandomState, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values as trained ones are spread: norms and scales near one, products that keep their size."""
    normal = random.standard_normal(shape)
    if key.endswith("running_var"):
        normal = 1 + 0.5 * np.tanh(normal)
    elif any(part in key.lower() for part in ("norm", ".bn", "gamma", "_scale")):
        normal = 0.1 * normal + (not key.endswith(("bias", "mean")))
    elif len(shape) > 1 and "embeddings" not in key:
        normal = normal / np.sqrt(np.prod(shape[1:]))
    return (0.1 * normal if key.endswith("bias") else normal).astype(np.float32)


def _muq() -> dict[str, tuple[int, ...]]:
    shapes = _layer("conv.linear", WIDTH, CHANNELS * BANDS // 4) | _layer("linear", CODES, WIDTH)
    shapes |= {"cls_token": (WIDTH,)} | _layer("recon_proj", 4 * BANDS, WIDTH)
    for block, inputs in enumerate((1, CHANNELS)):
        for number, channels in enumerate((inputs, CHANNELS, inputs), 1):
            shapes |= _layer(f"conv.conv.{block}.conv{number}", CHANNELS, channels, 3, 3)
            shapes |= _batch_norm(f"conv.conv.{block}.bn{number}", CHANNELS)
    shapes |= {"rvq.quantizers.0.stale_counter": (1024,), "rvq.quantizers.0.codebook.weight": (1024, 16)}
    for name, out, inputs in (("in_proj", 16, 4 * BANDS), ("out_proj", 4 * BANDS, 16)):
        shapes |= _under(
            f"rvq.quantizers.0.{name}", {"bias": (out,), "weight_g": (out, 1, 1), "weight_v": (out, inputs, 1)}
        )
    shapes |= _under("conformer", _conformer())
    return _under("mulan.audio.model.model", shapes)


def _conformer() -> dict[str, tuple[int, ...]]:
    positions = {"bias": (WIDTH,), "parametrizations.weight.original0": (1, 1, 128)}
    positions |= {"parametrizations.weight.original1": (WIDTH, WIDTH // 16, 128)}
    shapes = _under("pos_conv_embed.conv", positions) | _layer("layer_norm", WIDTH)
    block = {}
    for norm in ("ffn1_layer_norm", "ffn2_layer_norm", "self_attn_layer_norm", "final_layer_norm"):
        block |= _layer(norm, WIDTH)
    for name in ("ffn1", "ffn2"):
        block |= _layer(f"{name}.intermediate_dense", INNER, WIDTH) | _layer(f"{name}.output_dense", WIDTH, INNER)
    for name in ("linear_q", "linear_k", "linear_v", "linear_out"):
        block |= _layer(f"self_attn.{name}", WIDTH, WIDTH)
    block |= _layer("conv_module.layer_norm", WIDTH) | _batch_norm("conv_module.batch_norm", WIDTH)
    block |= {
        "conv_module.pointwise_conv1.weight": (2 * WIDTH, WIDTH, 1),
        "conv_module.depthwise_conv.weight": (WIDTH, 1, KERNEL),
        "conv_module.pointwise_conv2.weight": (WIDTH, WIDTH, 1),
    }
    for number in range(DEPTH):
        shapes |= _under(f"layers.{number}", block)
    return shapes


def _roberta() -> dict[str, tuple[int, ...]]:
    width, inner = TEXT["hidden_size"], TEXT["intermediate_size"]
    tables = {"word": tokenizer().get_vocab_size(), "position": TEXT["max_position_embeddings"], "token_type": 1}
    shapes = {f"embeddings.{name}_embeddings.weight": (size, width) for name, size in tables.items()}
    shapes |= _layer("embeddings.LayerNorm", width) | _layer("pooler.dense", width, width)
    block = {}
    for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        block |= _layer(name, width, width)
    block |= _layer("intermediate.dense", inner, width) | _layer("output.dense", width, inner)
    block |= _layer("attention.output.LayerNorm", width) | _layer("output.LayerNorm", width)
    for number in range(TEXT["num_hidden_layers"]):
        shapes |= _under(f"encoder.layer.{number}", block)
    return _under("mulan.text.model", shapes)


def _mulan(text_dim: int) -> dict[str, tuple[int, ...]]:
    shapes = _under("mulan.audio.transformer", _blocks(AUDIO_DIM)) | _under("mulan.text.transformer", _blocks(text_dim))
    shapes |= _layer("mulan.audio.proj", AUDIO_DIM, WIDTH) | _layer("mulan.audio.aggregator", 1, 25, 1)
    if text_dim != TEXT["hidden_size"]:
        shapes |= _layer("mulan.text.proj", text_dim, TEXT["hidden_size"])
    shapes |= _layer("mulan.audio_to_latents", LATENT, AUDIO_DIM) | _layer("mulan.text_to_latents", LATENT, text_dim)
    return shapes | {"mulan.contrast.temperatures": (1, 1, 1)}


def _blocks(dim: int) -> dict[str, tuple[int, ...]]:
    heads, inner, wide = BLOCKS["dim_head"], BLOCKS["heads"] * BLOCKS["dim_head"], dim * BLOCKS["ff_mult"] * 2 // 3
    block = {
        "0.norm.learned_gamma": (dim,),
        "0.to_q.weight": (inner, dim),
        "0.to_kv.weight": (2 * inner, dim),
        "0.q_scale": (heads,),
        "0.k_scale": (heads,),
        "0.to_out.0.weight": (dim, inner),
        "1.0.learned_gamma": (dim,),
        "1.1.weight": (2 * wide, dim),
        "1.4.weight": (dim, wide),
    }
    return {key: size for layer in range(BLOCKS["tf_depth"]) for key, size in _under(f"layers.{layer}", block).items()}


def _fixed() -> dict[str, Tensor]:
    """What follows from the sizes: the angles of the positions, and counters."""
    head = WIDTH // HEADS
    angles = (1 / 10000 ** (np.arange(0, head, 2) / head)).astype(np.float32)
    muq = "mulan.audio.model.model"
    norms = [f"conv.conv.{block}.bn{number}" for block in (0, 1) for number in (1, 2, 3)]
    norms += [f"conformer.layers.{number}.conv_module.batch_norm" for number in range(DEPTH)]
    counters = {f"{muq}.{norm}.num_batches_tracked": torch.tensor(7) for norm in norms}
    return counters | {f"{muq}.conformer.embed_positions.inv_freq": torch.from_numpy(angles)}


def _layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _batch_norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return _layer(name, width) | {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}


def _under(prefix: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{key}": shape for key, shape in shapes.items()}
