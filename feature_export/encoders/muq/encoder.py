"""The encoders of `muq_audio` and `muq_text`, whoever's code runs the network."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from feature_export.audio import Waveform
from feature_export.encoders.muq.chunks import RATE_HZ, MuqFraming
from feature_export.encoders.muq.tokens import Tokens
from feature_export.encoders.protocol import Provenance
from feature_export.encoders.windowed import embed_clip
from tunejury_jax.blocks import BLOCKS

__all__ = ["MuqAudio", "MuqText"]

AudioNetwork = Callable[[Float[Tensor, "batch samples"]], Float[Tensor, "batch dim"]]
TextNetwork = Callable[[Sequence[int]], Float[Tensor, " dim"]]


@dataclass(frozen=True)
class MuqAudio:
    """The audio half of MuQ-MuLan: 512 numbers, the mean over chunks of 10 s, each of unit length.

    Attributes:
        framing: Cuts clips into chunks.
        network: From chunks of one length to their embeddings.
        origin: The part of the provenance that says whose code and weights the network is.
    """

    framing: MuqFraming
    network: AudioNetwork
    origin: Provenance

    block = next(block for block in BLOCKS if block.name == "muq_audio")
    sample_rate_hz = RATE_HZ
    revision = "1"
    description = "MuQ-MuLan-large, what a clip sounds like: all of it at 24 kHz"

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "sample_rate_hz": self.sample_rate_hz,
            "signal_path": dataclasses.asdict(self.framing.path),
            "pooling": "mean of chunks of 10 s of unit length, the last one goes on with the start of the clip",
            **self.origin,
        }

    def embed(self, wave: Waveform) -> Float[Tensor, " dim"]:
        """Embeds one decoded clip, in the dtype of its samples; differentiable in them."""
        return embed_clip(self, wave)

    def embed_windows(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        """Runs the network; the embeddings are where the windows are, in their dtype."""
        return self.network(windows).to(windows)

    def pool(self, embedded: Float[Tensor, "windows dim"], lengths: Sequence[int]) -> Float[Tensor, " dim"]:
        """The mean, not brought to unit length again, as published; only a single chunk is not of 10 s."""
        return embedded.mean(0)


@dataclass(frozen=True)
class MuqText:
    """The text half of MuQ-MuLan: 512 numbers of unit length, comparable with those of the audio half.

    Attributes:
        tokens: Makes numbers of prompts.
        network: From them to an embedding.
        origin: The part of the provenance that says whose code and weights the network is.
    """

    tokens: Tokens
    network: TextNetwork
    origin: Provenance

    block = next(block for block in BLOCKS if block.name == "muq_text")
    revision = "1"
    description = "MuQ-MuLan-large, what a prompt asks for, in English or Chinese"

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "pooling": "mean of tokens, brought to unit length",
            **self.origin,
        }

    def embed(self, text: str) -> Float[Tensor, " dim"]:
        """Embeds one prompt, alone: the published model would average over the padding that others bring along."""
        return self.network(self.tokens.heard(text))

    def cut_tokens(self, text: str) -> int:
        """How many tokens are beyond XLM-RoBERTa's positions and not heard; the published model fails there."""
        return self.tokens.cut(text)
