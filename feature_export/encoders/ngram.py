r"""A weights-free text encoder: signed feature hashing of the words of a prompt and of its pairs of neighbours.

It is a baseline and a test encoder, **not a published TuneJury encoder**. The text is NFKC-normalised and casefolded;
its terms are the runs of `\w` and each two neighbours joined by a space, so "Warm lo-fi" has `warm`, `lo`, `fi`,
`warm lo`, `lo fi`. A text without any word character ("!!!") is read character by character instead. With an
unsigned 64-bit hash $h$ (BLAKE2b, so it is the same in every process), the embedding is $16\,c / \lVert c \rVert$ with

$$ c_i = \sum_{\text{terms } t:\ h(t) \bmod 256 = i} \operatorname{sign}(t), \qquad
   \operatorname{sign}(t) = +1 \text{ if the highest bit of } h(t) \text{ is } 0, \text{ else } -1. $$

The length 16 gives a column a mean square of 1, as the columns of `mel_baseline` have about; at length 1 a head needs
some 40 epochs of the demo data before it hears the prompt at all, at length 16 fewer than 10.
"""

import hashlib
import itertools
import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_export.encoders.protocol import Provenance
from tunejury_jax.blocks import BLOCKS

__all__ = ["NgramBaseline"]

LENGTH = 16.0
_HASH_PERSON = b"tunejury-ngram-1"


@dataclass(frozen=True)
class NgramBaseline:
    """The encoder of `ngram_baseline`; see the module for its formula.

    >>> embedding = NgramBaseline().embed("warm lo-fi piano")
    >>> tuple(embedding.shape), round(float(embedding.norm()), 3)
    ((256,), 16.0)
    """

    block = next(block for block in BLOCKS if block.name == "ngram_baseline")
    revision = "1"
    description = "weights-free baseline and test encoder, not a published TuneJury encoder"

    def provenance(self) -> Provenance:
        """Two of these with equal provenance make equal features."""
        return {
            "encoder": self.block.name,
            "revision": self.revision,
            "pooling": "signed counts of hashed words and pairs of words, length 16",
            "dtype": "float32",
        }

    def embed(self, text: str) -> Float[Tensor, " dim"]:
        """Embeds one prompt to length 16; to zeros should all its terms cancel, or where there are none."""
        counts = np.zeros(self.block.dim)
        for term in _terms(text):
            # A lone surrogate is legal in JSON and must not stop an export.
            digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8, person=_HASH_PERSON).digest()
            value = int.from_bytes(digest)
            counts[value % len(counts)] += -1 if value >> 63 else 1
        norm = float(np.linalg.norm(counts)) or 1.0
        return torch.from_numpy((LENGTH * counts / norm).astype(np.float32))

    def cut_tokens(self, text: str) -> int:
        """0: it has no limit."""
        return 0


def _terms(text: str) -> list[str]:
    normal = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"\w+", normal) or [character for character in normal if not character.isspace()]
    return words + [" ".join(pair) for pair in itertools.pairwise(words)]
