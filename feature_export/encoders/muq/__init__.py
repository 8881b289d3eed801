"""MuQ-MuLan-large on the modules of transformers: `muq_audio` and `muq_text`."""

from feature_export.audio import SignalPath
from feature_export.encoders.compute import Compute
from feature_export.encoders.muq.chunks import MuqFraming
from feature_export.encoders.muq.config import read_config
from feature_export.encoders.muq.conversion import mulan_model
from feature_export.encoders.muq.encoder import MuqAudio, MuqText
from feature_export.encoders.muq.log_mel import LogMel
from feature_export.encoders.muq.network import AudioNetwork, TextNetwork
from feature_export.encoders.muq.published import CHECKPOINT, NAME, origins, read_tokens
from feature_export.encoders.state_file import read_state
from feature_export.weights import find_weights

__all__ = ["make"]


def make(path: SignalPath, compute: Compute) -> tuple[tuple[MuqAudio], tuple[MuqText]]:
    """Loads both encoders, which share one checkpoint, from the local folder of weights.

    Raises:
        ValueError: A file is not there, damaged, or not of MuQ-MuLan-large.
    """
    weights = find_weights("muq")
    config = read_config(weights, latent_dim=MuqAudio.block.dim)
    tokens = read_tokens(weights, config)
    mulan = mulan_model(config, read_state(weights.file(CHECKPOINT)), NAME).to(compute.device)
    log_mel = LogMel(config.mel_mean, config.mel_std).to(compute.device)
    audio, text = origins(weights, compute)
    return (
        (MuqAudio(MuqFraming(path), AudioNetwork(log_mel, mulan.audio, compute), audio),),
        (MuqText(tokens, TextNetwork(mulan.text, compute), text),),
    )
