"""The encoders of `clap_audio` and `clap_text`, whoever's code runs the network."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import SignalPath, Waveform, prepare
from feature_export.crop import crop
from feature_export.encoders.clap.log_mel import RATE_HZ, WINDOW
from feature_export.encoders.clap.text import MAX_TOKENS, Tokens
from feature_export.encoders.protocol import Provenance
from feature_export.encoders.windowed import embed_clip, weighted_mean
from tunejury_jax.blocks import BLOCKS

__all__ = ["ClapAudio", "ClapFraming", "ClapText"]

AudioNetwork = Callable[[Float[Tensor, "batch samples"]], Float[Tensor, "batch dim"]]
TextNetwork = Callable[[Sequence[int]], Float[Tensor, " dim"]]


@dataclass(frozen=True)
class ClapFraming:
    """Windows of 10 s at 48 kHz, by the rules of `feature_export.crop`."""

    path: SignalPath

    def windows(self, wave: Waveform) -> tuple[Float[Tensor, " samples"], ...]:
        """One window, or those that cover a longer clip if the path asks for them."""
        return tuple(crop(prepare(wave, RATE_HZ, self.path), WINDOW, self.path))


@dataclass(frozen=True)
class ClapAudio:
    """The audio half of LAION-CLAP: 512 numbers of unit length.

    Attributes:
        framing: Cuts clips into windows.
        network: From windows to their embeddings, of any length.
        origin: The part of the provenance that says whose code and weights the network is.
    """

    framing: ClapFraming
    network: AudioNetwork
    origin: Provenance

    block = next(block for block in BLOCKS if block.name == "clap_audio")
    sample_rate_hz = RATE_HZ
    revision = "1"
    description = "LAION-CLAP-Music, what a clip sounds like: 10 s at 48 kHz"

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "sample_rate_hz": self.sample_rate_hz,
            "signal_path": dataclasses.asdict(self.framing.path),
            "pooling": "mean of the windows' embeddings of unit length, brought to unit length",
            **self.origin,
        }

    def embed(self, wave: Waveform) -> Float[Tensor, " dim"]:
        """Embeds one decoded clip, in the dtype of its samples; differentiable in them."""
        return embed_clip(self, wave)

    def embed_windows(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        """Runs the network; the embeddings are where the windows are, in their dtype."""
        return F.normalize(self.network(windows).to(windows), dim=1)

    def pool(self, embedded: Float[Tensor, "windows dim"], lengths: Sequence[int]) -> Float[Tensor, " dim"]:
        """The mean, brought to unit length."""
        return F.normalize(weighted_mean(embedded, lengths), dim=0)


@dataclass(frozen=True)
class ClapText:
    """The text half of LAION-CLAP: 512 numbers of unit length, comparable with those of the audio half.

    Attributes:
        tokens: Makes numbers of prompts.
        network: From them to an embedding of any length.
        origin: The part of the provenance that says whose code and weights the network is.
    """

    tokens: Tokens
    network: TextNetwork
    origin: Provenance

    block = next(block for block in BLOCKS if block.name == "clap_text")
    revision = "1"
    description = f"LAION-CLAP-Music, what a prompt asks for: up to {MAX_TOKENS} tokens"

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "pooling": "pooler of the first token, brought to unit length",
            **self.origin,
        }

    def embed(self, text: str) -> Float[Tensor, " dim"]:
        """Embeds one prompt, cut to `MAX_TOKENS` tokens."""
        return F.normalize(self.network(self.tokens.heard(text)).float(), dim=0)

    def cut_tokens(self, text: str) -> int:
        """How many tokens at the end of a prompt are beyond the limit and not heard."""
        return self.tokens.cut(text)
