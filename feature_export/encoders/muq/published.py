"""The published files of MuQ-MuLan-large, and what of them goes into the provenance."""

from feature_export.encoders.compute import Compute
from feature_export.encoders.muq.config import MULAN_CONFIG, MUQ_CONFIG, ROBERTA_CONFIG, MuqConfig
from feature_export.encoders.muq.tokens import PAD, Tokens
from feature_export.encoders.protocol import Provenance
from feature_export.weights import Weights

__all__ = ["CHECKPOINT", "NAME", "origins", "read_tokens"]

NAME = "MuQ-MuLan-large"
CHECKPOINT = f"{NAME}/pytorch_model.bin"
TOKENIZER = "xlm-roberta-base/tokenizer.json"


def read_tokens(weights: Weights, config: MuqConfig) -> Tokens:
    """The tokens of XLM-RoBERTa, as many as its table of positions has rows behind the one of the padding."""
    limit = config.roberta.max_position_embeddings - PAD - 1
    return Tokens.read(weights.file(TOKENIZER), config.roberta.vocab_size, limit)


def origins(weights: Weights, compute: Compute, **backend: str) -> tuple[Provenance, Provenance]:
    """Whose weights the audio and the text network have, and how they are run.

    Args:
        weights: The files.
        compute: Where the networks run.
        backend: Whose code runs them, if it is not ours.
    """
    audio, text = (CHECKPOINT, MULAN_CONFIG, MUQ_CONFIG), (CHECKPOINT, MULAN_CONFIG, ROBERTA_CONFIG, TOKENIZER)
    return _origin(weights, compute, audio, backend), _origin(weights, compute, text, backend)


def _origin(weights: Weights, compute: Compute, files: tuple[str, ...], backend: dict[str, str]) -> Provenance:
    return {
        "weights": NAME,
        "weights_revision": weights.revision,
        "weights_sha256": weights.sha256(*files),
        "dtype": compute.dtype,
        **backend,
    }
