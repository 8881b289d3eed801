"""The sizes of a MuQ-MuLan checkpoint, from the `config.json` of its three parts: bounded, and nothing assumed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import Wav2Vec2ConformerConfig, XLMRobertaConfig

from feature_export.encoders.muq.chunks import CHUNK_S, RATE_HZ
from feature_export.encoders.muq.log_mel import BANDS, HOP
from feature_export.encoders.muq.tokens import PAD
from feature_export.weights import Weights
from tunejury_jax.documents import read_object

__all__ = ["MULAN_CONFIG", "MUQ_CONFIG", "ROBERTA_CONFIG", "BlockSizes", "MuqConfig", "read_config"]

MULAN_CONFIG = "MuQ-MuLan-large/config.json"
MUQ_CONFIG = "MuQ-large-msd-iter/config.json"
ROBERTA_CONFIG = "xlm-roberta-base/config.json"

MAX_BYTES = 1 << 20
MAX_WIDTH, MAX_INNER_WIDTH, MAX_LAYERS, MAX_TOKENS = 2048, 8192, 48, 1 << 19
"""At least twice what is published; more would ask for tens of gigabytes before a weight is read."""


@dataclass(frozen=True)
class BlockSizes:
    """Of the transformer blocks that MuLan puts on top of a pretrained network.

    Attributes:
        dim: Width between the blocks.
        depth: Number of blocks, also none.
        heads: Heads of the attention.
        head_dim: Width of each.
        widening: Of the feed-forward layer, in units of 2/3 of `dim`.
    """

    dim: int
    depth: int
    heads: int
    head_dim: int
    widening: int


@dataclass(frozen=True)
class MuqConfig:
    """All sizes.

    Attributes:
        latent_dim: Width of the joint space.
        audio: Blocks on top of MuQ.
        text: Blocks on top of XLM-RoBERTa.
        channels: Of MuQ's convolutions.
        mel_mean: What is subtracted from the spectrogram, in dB.
        mel_std: What it is divided by, in dB.
        conformer: MuQ's conformer, with all its layers.
        heard_layers: How many of them are run; the final norm belongs to the last.
        roberta: XLM-RoBERTa.
    """

    latent_dim: int
    audio: BlockSizes
    text: BlockSizes
    channels: int
    mel_mean: float
    mel_std: float
    conformer: Wav2Vec2ConformerConfig
    heard_layers: int
    roberta: XLMRobertaConfig


def read_config(weights: Weights, latent_dim: int) -> MuqConfig:
    """Reads and checks the three files.

    Args:
        weights: The files.
        latent_dim: Width that the joint space must have.

    Raises:
        ValueError: A file or a field is missing, or a value is not one that this encoder can follow; names it.
    """
    mulan, muq, roberta = (_Fields.read(weights.file(name)) for name in (MULAN_CONFIG, MUQ_CONFIG, ROBERTA_CONFIG))
    mulan.part("mulan").fixed(sr=RATE_HZ, clip_secs=CHUNK_S, dim_latent=latent_dim)
    muq.fixed(hop_length=HOP, n_mels=BANDS, label_rate=25)
    conformer = _conformer(muq)
    return MuqConfig(
        latent_dim=latent_dim,
        audio=_blocks(mulan.part("audio_transformer")),
        text=_blocks(mulan.part("text_transformer")),
        channels=muq.whole("conv_dim", MAX_WIDTH),
        mel_mean=muq.part("stat").number("melspec_2048_mean"),
        mel_std=muq.part("stat").number("melspec_2048_std", above=0.0),
        conformer=conformer,
        heard_layers=mulan.part("audio_model").index("use_layer_idx", conformer.num_hidden_layers + 1),
        roberta=_roberta(roberta),
    )


@dataclass(frozen=True)
class _Fields:
    """A JSON object, and where it stands."""

    name: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "_Fields":
        return cls(f"{path}: ", read_object(path, MAX_BYTES))

    def part(self, key: str) -> "_Fields":
        if not isinstance(self._value(key), Mapping):
            raise self._error(key, "an object")
        return _Fields(f"{self.name}{key}.", self.values[key])

    def whole(self, key: str, most: int, least: int = 1) -> int:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._error(key, f"a whole number from {least} to {most}")
        return value

    def index(self, key: str, length: int) -> int:
        """Of a list of `length`; negative ones count from its end."""
        return self.whole(key, length - 1, least=-length) % length

    def number(self, key: str, above: float = -math.inf) -> float:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < math.inf:
            raise self._error(key, f"a number above {above:g}")
        return float(value)

    def text(self, key: str) -> str:
        if not isinstance(self._value(key), str):
            raise self._error(key, "text")
        return self.values[key]

    def fixed(self, **expected: object) -> None:
        for key, value in expected.items():
            if self._value(key) != value:
                raise self._error(key, repr(value))

    def _value(self, key: str) -> Any:
        if key not in self.values:
            raise ValueError(f"{self.name}{key}: is missing")
        return self.values[key]

    def _error(self, key: str, accepted: str) -> ValueError:
        return ValueError(f"{self.name}{key}: got {self.values[key]!r}, accepted is {accepted}")


def _blocks(fields: _Fields) -> BlockSizes:
    return BlockSizes(
        dim=fields.whole("dim", MAX_WIDTH),
        depth=fields.whole("tf_depth", MAX_LAYERS, least=0),
        heads=fields.whole("heads", MAX_WIDTH),
        head_dim=fields.whole("dim_head", MAX_WIDTH),
        widening=fields.whole("ff_mult", 16),
    )


def _conformer(muq: _Fields) -> Wav2Vec2ConformerConfig:
    fields = muq.part("w2v2_config")
    fields.fixed(position_embeddings_type="rotary")
    return Wav2Vec2ConformerConfig(
        hidden_size=muq.whole("encoder_dim", MAX_WIDTH),
        num_hidden_layers=muq.whole("encoder_depth", MAX_LAYERS),
        num_attention_heads=fields.whole("num_attention_heads", MAX_WIDTH),
        intermediate_size=fields.whole("intermediate_size", MAX_INNER_WIDTH),
        conv_depthwise_kernel_size=fields.whole("conv_depthwise_kernel_size", MAX_WIDTH),
        hidden_act=fields.text("hidden_act"),
        layer_norm_eps=fields.number("layer_norm_eps", above=0.0),
        position_embeddings_type="rotary",
        rotary_embedding_base=fields.whole("rotary_embedding_base", 1 << 24),
    )


def _roberta(fields: _Fields) -> XLMRobertaConfig:
    fields.fixed(pad_token_id=PAD)
    return XLMRobertaConfig(
        vocab_size=fields.whole("vocab_size", MAX_TOKENS),
        hidden_size=fields.whole("hidden_size", MAX_WIDTH),
        num_hidden_layers=fields.whole("num_hidden_layers", MAX_LAYERS),
        num_attention_heads=fields.whole("num_attention_heads", MAX_WIDTH),
        intermediate_size=fields.whole("intermediate_size", MAX_INNER_WIDTH),
        hidden_act=fields.text("hidden_act"),
        layer_norm_eps=fields.number("layer_norm_eps", above=0.0),
        max_position_embeddings=fields.whole("max_position_embeddings", MAX_INNER_WIDTH, least=8),
        type_vocab_size=fields.whole("type_vocab_size", MAX_WIDTH),
        pad_token_id=PAD,
    )
