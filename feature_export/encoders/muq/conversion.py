"""A MuQ-MuLan checkpoint as a `MuLan`: names and weights.

The published state dict of MuLan holds the whole model, MuQ and XLM-RoBERTa included; their own checkpoints, from which
its training started, are not read. Every tensor is renamed or on the list of those that an embedding does not need;
what is in neither is left over, which `load_strictly` refuses.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from feature_export.encoders.muq.config import MuqConfig
from feature_export.encoders.muq.mulan import MuLan
from feature_export.encoders.state_file import load_strictly

__all__ = ["mulan_model"]

_MUQ = r"mulan\.audio\.model\.model\."
_NOT_NEEDED = (
    rf"{_MUQ}(linear|recon_proj|rvq|quantizer_melspec_2048)\..*"  # predict and make MuQ's training targets
    rf"|{_MUQ}cls_token"  # never read
    rf"|{_MUQ}conformer\.pos_conv_embed\..*"  # never called: the positions are rotary
    r"|mulan\.audio\.aggregator\..*"  # never called: one layer is read, not a mixture
    r"|mulan\.contrast\..*"  # the temperature of the training loss
    r"|mulan\.text\.model\.pooler\..*"  # the mean is read, not the first token
    r"|mulan\.text\.model\.embeddings\.(position_ids|token_type_ids)"  # 0, 1, 2, ... and zeros
)
_RENAMED = tuple(
    (re.compile(old), new)
    for old, new in (
        (rf"^{_MUQ}conv\.conv\.", "audio.convolutions.blocks."),
        (rf"^{_MUQ}conv\.linear\.", "audio.convolutions.linear."),
        (rf"^{_MUQ}conformer\.", "audio.conformer."),
        (r"^mulan\.text\.model\.", "text.roberta."),
        (r"^mulan\.(audio|text)_to_latents\.", r"\1.top.to_latents."),
        (r"^mulan\.(audio|text)\.proj\.", r"\1.top.projection."),
        (r"^mulan\.(audio|text)\.transformer\.", r"\1.top.blocks."),
        (r"(top\.blocks\.layers\.\d+)\.0\.to_out\.0\.", r"\1.attention.to_out."),
        (r"(top\.blocks\.layers\.\d+)\.0\.", r"\1.attention."),
        (r"(top\.blocks\.layers\.\d+)\.1\.0\.", r"\1.feed_forward.norm."),
        (r"(top\.blocks\.layers\.\d+)\.1\.1\.", r"\1.feed_forward.widen."),
        (r"(top\.blocks\.layers\.\d+)\.1\.4\.", r"\1.feed_forward.narrow."),
        (r"\.norm\.learned_gamma$", ".norm.weight"),
    )
)


def mulan_model(config: MuqConfig, state: Mapping[str, Tensor], name: str) -> MuLan:
    """Builds the model of a checkpoint; frozen, in evaluation mode.

    Args:
        config: Its sizes.
        state: Its tensors by their published names.
        name: Of the weights, for messages.

    Raises:
        ValueError: Tensors are missing, left over or of another shape; says which.
    """
    # The random weights that a new model gets are replaced at once, and must not move the caller's generator.
    with torch.random.fork_rng(devices=()):
        model = MuLan(config)
    load_strictly(model, _converted(config, state), name)
    return model.eval().requires_grad_(False)


def _converted(config: MuqConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    not_needed = re.compile("|".join([_NOT_NEEDED, *_not_heard(config)]))
    return {_renamed(key): value for key, value in state.items() if not not_needed.fullmatch(key)}


def _not_heard(config: MuqConfig) -> list[str]:
    """The layers behind the one that MuLan reads, and the norm behind them."""
    missed = range(config.heard_layers, config.conformer.num_hidden_layers)
    layers = [rf"{_MUQ}conformer\.layers\.{layer}\..*" for layer in missed]
    return [*layers, rf"{_MUQ}conformer\.layer_norm\..*"] if layers else []


def _renamed(key: str) -> str:
    for pattern, new in _RENAMED:
        key = pattern.sub(new, key)
    return key
