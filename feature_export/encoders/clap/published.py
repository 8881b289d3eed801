"""The published files of LAION-CLAP-Music, and what of them goes into the provenance."""

from collections.abc import Mapping

from torch import Tensor

from feature_export.encoders.clap.text import Tokens
from feature_export.encoders.compute import Compute
from feature_export.encoders.protocol import Provenance
from feature_export.weights import Weights

__all__ = ["CHECKPOINT", "origins", "read_tokens"]

CHECKPOINT = "music_audioset_epoch_15_esc_90.14.pt"
TABLE = "text_branch.embeddings.word_embeddings.weight"
VOCABULARY, MERGES = "roberta-base/vocab.json", "roberta-base/merges.txt"


def read_tokens(weights: Weights, state: Mapping[str, Tensor]) -> Tokens:
    """The tokens that the embedding table of a checkpoint is for."""
    return Tokens.read(weights.file(VOCABULARY), weights.file(MERGES), len(state[TABLE]))


def origins(weights: Weights, compute: Compute, **backend: str) -> tuple[Provenance, Provenance]:
    """Whose weights the audio and the text network have, and how they are run.

    Args:
        weights: The files.
        compute: Where the networks run.
        backend: Whose code runs them, if it is not ours.
    """
    audio, text = (CHECKPOINT,), (CHECKPOINT, VOCABULARY, MERGES)
    return _origin(weights, compute, audio, backend), _origin(weights, compute, text, backend)


def _origin(weights: Weights, compute: Compute, files: tuple[str, ...], backend: dict[str, str]) -> Provenance:
    return {
        "weights": CHECKPOINT.removesuffix(".pt"),
        "weights_revision": weights.revision,
        "weights_sha256": weights.sha256(*files),
        "dtype": compute.dtype,
        **backend,
    }
