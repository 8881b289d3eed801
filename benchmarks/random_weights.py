"""Weights of the published sizes with random values: time does not depend on what a network has learned."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from tests.tiny_weights import clap, mert, muq

__all__ = ["placed_weights", "write_weights"]

CLAP: dict[str, Any] = {
    "EMBEDDED": 128,
    "DEPTHS": (2, 2, 12, 2),
    "HEADS": (4, 8, 16, 32),
    "TEXT": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072, "max_position_embeddings": 514},
}
MERT: dict[str, Any] = mert.CONFIG | {
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_dim": [512] * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
MUQ: dict[str, Any] = {
    "WIDTH": 1024,
    "DEPTH": 12,
    "HEADS": 16,
    "INNER": 4096,
    "CHANNELS": 512,
    "CODES": 8192,
    "AUDIO_DIM": 768,
    "TEXT_DIM": 768,
    "BLOCKS": {"tf_depth": 8, "heads": 8, "dim_head": 64, "ff_mult": 4},
    "TEXT": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072, "max_position_embeddings": 514},
}
"""The defaults of muq 0.1.0; the vocabulary is small, since looking a word up takes no time."""

SIZES = {"clap": (clap, CLAP), "mert": (mert, {"CONFIG": MERT}), "muq": (muq, MUQ)}


def write_weights(root: Path, tiny: bool, families: Sequence[str] = ("clap", "mert")) -> None:
    """Writes weights as `tunejury encoders fetch` places them.

    Args:
        root: The folder that `TUNEJURY_WEIGHTS` will name; CLAP and MERT take 1.7 GB.
        tiny: A few megabytes instead, for a trial.
        families: Of which encoders.
    """
    for name in families:
        module, sizes = SIZES[name]
        with patch.dict(vars(module), {} if tiny else sizes):
            module.write(root / name)


@contextmanager
def placed_weights(tiny: bool, families: Sequence[str] = ("clap", "mert")) -> Iterator[None]:
    """Writes weights to a folder that encoders load from for as long as this lasts; see `write_weights`."""
    with TemporaryDirectory() as folder, patch.dict(os.environ, {"TUNEJURY_WEIGHTS": folder}):
        write_weights(Path(folder), tiny, families)
        yield
