"""What an encoder is: a block it fills, a revision, and a provenance that pins its numbers.

An encoder is frozen: it has no state that changes, and the same input gives the same bits (on one machine, with one
number of threads: sums are split among threads, which can move the last bit). Audio encoders are differentiable in the
samples, so a reward can be pushed back into a generator. Prompts that are empty or only white space are never encoded:
the caller puts zeros (see `Stack.embed_prompt`).
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from feature_export.audio import Waveform
from tunejury_jax.blocks import Block

__all__ = ["AudioEncoder", "Encoder", "Framing", "Provenance", "TextEncoder", "WindowedEncoder"]

_Scalar = str | int | float | bool | None
Provenance = dict[str, _Scalar | dict[str, _Scalar]]
"""JSON: everything that changes an encoder's numbers, and no library versions. `encoder` and `revision` always,
`signal_path` where a switch of it is used."""


@runtime_checkable
class Encoder(Protocol):
    """What audio and text encoders declare."""

    @property
    def block(self) -> Block:
        """Name, width and table of what it makes."""
        ...

    @property
    def revision(self) -> str:
        """Of the weights, or of the formula where there are none; a new one whenever a number changes."""
        ...

    @property
    def description(self) -> str:
        """One line for people who choose an encoder."""
        ...

    def provenance(self) -> Provenance:
        """Two encoders with equal provenance make equal features."""
        ...


@runtime_checkable
class AudioEncoder(Encoder, Protocol):
    """Fills a block of the clip table."""

    @property
    def sample_rate_hz(self) -> int | None:
        """Rate it listens at in Hz; None for the file's own."""
        ...

    def embed(self, wave: Waveform) -> Float[Tensor, " dim"]:
        """Embeds one decoded clip, in the dtype of its samples; differentiable in them."""
        ...


@runtime_checkable
class Framing(Protocol):
    """How a clip is cut into what a network hears: small, without weights, and picklable, so that other processes
    can prepare clips ahead of the network."""

    def windows(self, wave: Waveform) -> tuple[Float[Tensor, " _"], ...]:
        """At least one window of mono samples at the encoder's rate; differentiable."""
        ...


@runtime_checkable
class WindowedEncoder(AudioEncoder, Protocol):
    """An audio encoder with a network, which takes many windows of one length at once.

    embed(wave) = pool(embed_windows(windows of the wave)), see `feature_export.encoders.windowed`
    """

    @property
    def framing(self) -> Framing:
        """Cuts clips into windows."""
        ...

    def embed_windows(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        """Runs the network on windows of one length; a row does not depend on the rows beside it beyond rounding."""
        ...

    def pool(self, embedded: Float[Tensor, "windows dim"], lengths: Sequence[int]) -> Float[Tensor, " dim"]:
        """The embedding of a clip from those of its windows and their lengths in samples."""
        ...


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """Fills a block of the prompt table."""

    def embed(self, text: str) -> Float[Tensor, " dim"]:
        """Embeds one prompt that has at least one character besides white space."""
        ...

    def cut_tokens(self, text: str) -> int:
        """How many tokens at the end of a prompt are beyond the encoder's limit and not heard."""
        ...
