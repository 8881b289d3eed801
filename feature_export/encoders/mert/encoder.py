r"""The encoder of `mert`: a clip of any length in chunks, each embedded as the mean over its frames.

With $x$ the mono waveform at 24 kHz, brought to $(x - \bar x) / \sqrt{\mathrm{var}(x) + 10^{-7}}$ where the published
preprocessor does so: a clip up to `CHUNK` samples is one chunk, as in TuneJury's features. A longer one is cut into
chunks of that length and a shorter last one, which joins the one before if the network would find no frame in it. The
embedding is the mean of the chunks' embeddings weighted by their lengths. A clip too short for one frame gets zeros at
its end.

The switches `train16k` and `int16` of a signal path do not concern it: in upstream's features only CLAP's audio went
through 16 kHz, MERT's straight to 24 kHz (`data/extract_features.py`), and 16 bits are CLAP's own.

Source: transformers' `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm` for the normalisation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from feature_export.audio import SignalPath, Waveform, prepare
from feature_export.encoders.mert.config import RATE_HZ
from feature_export.encoders.mert.pooling import TUNEJURY, MertPooling
from feature_export.encoders.protocol import Provenance
from feature_export.encoders.windowed import embed_clip
from tunejury_jax.blocks import BLOCKS

__all__ = ["CHUNK_S", "Mert", "MertFraming"]

CHUNK_S = 60
"""Most clips stay whole, and memory is bounded: of a minute, the first convolution alone makes 0.6 GB."""

VARIANCE_FLOOR = 1e-7


@dataclass(frozen=True)
class MertFraming:
    """Chunks of a clip.

    Attributes:
        normalize: Whether a clip is brought to mean 0 and variance 1.
        shortest: Samples that the network needs for one frame.
        longest: Samples a chunk.
    """

    normalize: bool
    shortest: int
    longest: int = CHUNK_S * RATE_HZ

    def windows(self, wave: Waveform) -> tuple[Float[Tensor, " samples"], ...]:
        """Consecutive chunks that cover the clip, of one length but for the last."""
        samples = prepare(wave, RATE_HZ, SignalPath())
        samples = _normalized(samples) if self.normalize else samples
        samples = F.pad(samples, (0, max(0, self.shortest - len(samples))))
        return samples.split(self._lengths(len(samples)))

    def _lengths(self, samples: int) -> list[int]:
        whole, rest = divmod(samples, self.longest)
        lengths = [self.longest] * whole
        if rest >= self.shortest or not whole:
            return [*lengths, rest]
        return [*lengths[:-1], self.longest + rest]


@dataclass(frozen=True)
class Mert:
    """MERT-v1-330M: 1024 numbers.

    Attributes:
        framing: Cuts clips into chunks.
        network: From chunks of one length to their embeddings.
        origin: The part of the provenance that says whose weights the network has and how it is run.
        pooling: The network's.
    """

    framing: MertFraming
    network: Callable[[Float[Tensor, "batch samples"]], Float[Tensor, "batch dim"]]
    origin: Provenance
    pooling: MertPooling = TUNEJURY

    block = next(block for block in BLOCKS if block.name == "mert")
    sample_rate_hz = RATE_HZ
    revision = "1"
    description = "MERT-v1-330M, how a clip is played and made: all of it at 24 kHz"

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "sample_rate_hz": self.sample_rate_hz,
            "normalize": self.framing.normalize,
            "pooling": self.pooling.describe(self.framing.longest),
            **self.origin,
        }

    def embed(self, wave: Waveform) -> Float[Tensor, " dim"]:
        """Embeds one decoded clip, in the dtype of its samples; differentiable in them."""
        return embed_clip(self, wave)

    def embed_windows(self, windows: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch dim"]:
        """Runs the network; the embeddings are where the windows are, in their dtype."""
        return self.network(windows).to(windows)

    def pool(self, embedded: Float[Tensor, "windows dim"], lengths: Sequence[int]) -> Float[Tensor, " dim"]:
        """As `MertPooling.of_chunks`."""
        return self.pooling.of_chunks(embedded, lengths)


def _normalized(samples: Float[Tensor, " samples"]) -> Float[Tensor, " samples"]:
    centred = samples - samples.mean()
    return centred / (centred.square().mean() + VARIANCE_FLOOR).sqrt()
