"""MERT-v1-330M on the modules of transformers: `mert`."""

from feature_export.audio import SignalPath
from feature_export.encoders.compute import Compute
from feature_export.encoders.mert.config import read_config, read_normalize
from feature_export.encoders.mert.encoder import Mert, MertFraming
from feature_export.encoders.mert.network import MertNetwork
from feature_export.encoders.mert.pooling import TUNEJURY, MertPooling
from feature_export.encoders.protocol import Provenance
from feature_export.encoders.state_file import read_state
from feature_export.weights import Weights, find_weights

__all__ = ["MertPooling", "make"]

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
PUBLISHED_STATE, SAFE_STATE = "pytorch_model.bin", "model.safetensors"


def make(path: SignalPath, compute: Compute, pooling: MertPooling = TUNEJURY) -> tuple[tuple[Mert], tuple[()]]:
    """Loads the encoder from the local folder of weights; no switch of the path concerns it.

    Args:
        path: As of every family.
        compute: Where and how the network runs.
        pooling: Of its hidden states; heads were trained on the default one.

    Raises:
        ValueError: A file is not there, damaged, or not of MERT-v1-330M, or has no such layer.
    """
    weights = find_weights("mert")
    config = read_config(weights.file(CONFIG), Mert.block.dim)
    normalize = read_normalize(weights.file(PREPROCESSOR))
    file = _state_file(weights)
    network = MertNetwork.load(config, read_state(weights.file(file)), compute, pooling)
    origin: Provenance = {
        "weights": "MERT-v1-330M",
        "weights_revision": weights.revision,
        "weights_sha256": weights.sha256(CONFIG, PREPROCESSOR, file),
        "dtype": compute.dtype,
    }
    return (Mert(MertFraming(normalize, config.shortest), network, origin, pooling),), ()


def _state_file(weights: Weights) -> str:
    return SAFE_STATE if (weights.folder / SAFE_STATE).is_file() else PUBLISHED_STATE
