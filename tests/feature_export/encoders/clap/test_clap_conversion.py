"""Checkpoints that are LAION-CLAP's become a model, all others are refused by name."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from feature_export.encoders.clap.conversion import bare_names, clap_model
from tests.tiny_weights import clap as tiny

State = dict[str, Tensor]
BLOCK = "audio_branch.layers.2.blocks."


def without(prefix: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if not key.startswith(prefix)}


def with_tensor(key: str, *shape: int) -> Callable[[State], State]:
    return lambda state: state | {key: torch.ones(shape)}


def test_sizes_are_read_off_the_tensors() -> None:
    config = clap_model(tiny.build()).config
    assert tuple(config.audio_config.depths) == tiny.DEPTHS
    assert tuple(config.audio_config.num_attention_heads) == tiny.HEADS
    assert config.audio_config.hidden_size == tiny.EMBEDDED * 8
    assert {key: getattr(config.text_config, key) for key in tiny.TEXT} == tiny.TEXT
    assert config.text_config.layer_norm_eps == 1e-5


def test_every_weight_arrives() -> None:
    state = tiny.build()
    model = clap_model(state)
    query, key, value = state[f"{BLOCK}1.attn.qkv.weight"].chunk(3)
    attention = model.audio_model.audio_encoder.layers[2].blocks[1].attention.self
    assert all(torch.equal(a, b.weight) for a, b in zip((query, key, value), attention.children(), strict=False))
    unused = ("_extractor.", "tscam_conv", ".head.", "attn_mask", "position_ids", "_transform.")
    wanted = {name: tensor for name, tensor in state.items() if not any(part in name for part in unused)}
    fixed = ("position_ids", "token_type_ids")
    made = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(fixed)}
    assert sum(tensor.numel() for tensor in made.values()) == sum(tensor.numel() for tensor in wanted.values())
    total = sum(tensor.double().sum() for tensor in made.values())
    assert torch.isclose(total, sum((tensor.double().sum() for tensor in wanted.values()), torch.zeros(()).double()))


def test_is_frozen_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    model = clap_model(tiny.build())
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_positions_may_be_absent_and_names_prefixed() -> None:
    state = without("text_branch.embeddings.position_ids")(tiny.build())
    prefixed = {f"module.{key}": value for key, value in state.items()}
    assert bare_names(prefixed).keys() == state.keys()
    first, second = clap_model(tiny.build()).state_dict(), clap_model(bare_names(prefixed)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            with_tensor("audio_branch.patch_embed.mel_conv2d.weight", 16, 1, 4, 12),
            "1 left over: audio_model.audio_encoder.patch_embed.mel_conv2d.weight",
        ),
        (with_tensor("visual.proj", 2), "1 left over: visual.proj"),
        (with_tensor("audio_branch.layers.4.blocks.0.norm1.weight", 2), "1 left over: .*layers.4.blocks.0"),
        (
            with_tensor("text_branch.encoder.layer.2.extra", 2),
            "missing: .*encoder.layer.2.*left over: .*extra",
        ),
        (without(f"{BLOCK}0."), f"{BLOCK}0.attn.relative_position_bias_table: got nothing"),
        (without(f"{BLOCK}1.attn.qkv.bias"), "3 missing: .*blocks.1.attention.self.key.bias"),
        (without("logit_scale_a"), "1 missing: logit_scale_a"),
        (without("text_branch.embeddings.word"), "word_embeddings.weight: got nothing, expected 2 dimensions"),
        (without("audio_branch."), r"audio_branch.patch_embed.proj.weight: got nothing, expected 4 dimensions"),
        (
            with_tensor("audio_branch.patch_embed.proj.weight", 16),
            r"proj.weight: got the shape \(16,\), expected 4 dimensions",
        ),
        (with_tensor("audio_projection.0.weight", 32, 128), r"1 of another shape: .*linear1.weight \(32, 128\)"),
        (with_tensor("text_projection.2.bias", 32), r"1 of another shape: text_projection.linear2.bias \(32,\)"),
    ],
)
def test_other_checkpoints_are_refused(damage: Callable[[State], State], message: str) -> None:
    with pytest.raises(ValueError, match=f"weights of clap: not those of this encoder; .*{message}"):
        clap_model(damage(tiny.build()))
