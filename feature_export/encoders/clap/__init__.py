"""LAION-CLAP-Music on the modules of transformers: `clap_audio` and `clap_text`."""

from feature_export.audio import SignalPath
from feature_export.encoders.clap.conversion import bare_names, clap_model
from feature_export.encoders.clap.encoder import ClapAudio, ClapFraming, ClapText
from feature_export.encoders.clap.log_mel import check_front_end
from feature_export.encoders.clap.network import AudioNetwork, TextNetwork
from feature_export.encoders.clap.published import CHECKPOINT, origins, read_tokens
from feature_export.encoders.compute import Compute
from feature_export.encoders.state_file import read_state
from feature_export.weights import find_weights

__all__ = ["make"]


def make(path: SignalPath, compute: Compute) -> tuple[tuple[ClapAudio], tuple[ClapText]]:
    """Loads both encoders, which share one model, from the local folder of weights.

    Raises:
        ValueError: A file is not there, damaged, or not of LAION-CLAP-Music.
    """
    weights = find_weights("clap")
    state = bare_names(read_state(weights.file(CHECKPOINT)))
    check_front_end(state)
    model = clap_model(state, compute.device)
    tokens = read_tokens(weights, state)
    audio, text = origins(weights, compute)
    return (
        (ClapAudio(ClapFraming(path), AudioNetwork(model, compute), audio),),
        (ClapText(tokens, TextNetwork(model, compute), text),),
    )
