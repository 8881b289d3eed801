"""Published names: everything is used or on a list, and another checkpoint is refused in words."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from feature_export.encoders.muq.config import MuqConfig, read_config
from feature_export.encoders.muq.conversion import mulan_model
from feature_export.weights import find_weights
from tests.tiny_weights import muq as tiny

MUQ = "mulan.audio.model.model"


@pytest.fixture
def config(muq_root: Path, monkeypatch: pytest.MonkeyPatch) -> MuqConfig:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(muq_root))
    return read_config(find_weights("muq"), 512)


def test_every_parameter_is_the_checkpoints(config: MuqConfig) -> None:
    state, other = tiny.build(), tiny.build(seed=1)
    model, changed = mulan_model(config, state, "tiny").state_dict(), mulan_model(config, other, "tiny").state_dict()
    fixed = ("num_batches_tracked", "inv_freq")
    assert all(key.endswith(fixed) != (not torch.equal(value, changed[key])) for key, value in model.items())
    used = sum(value.numel() for value in model.values())
    unused = ("rvq", "recon_proj", "model.linear", "cls_token", "pos_conv", "aggregator", "contrast", "pooler")
    assert used == sum(value.numel() for key, value in state.items() if not any(part in key for part in unused))


def test_it_is_frozen_and_the_callers_generator_stays(config: MuqConfig) -> None:
    before = torch.random.get_rng_state()
    model = mulan_model(config, tiny.build(), "tiny")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not model.training
    assert not any(value.requires_grad for value in model.parameters())


def without(key: str) -> dict[str, Tensor]:
    return {name: value for name, value in tiny.build().items() if name != key}


OTHERS = {
    "1 missing: audio.convolutions.linear.bias$": without(f"{MUQ}.conv.linear.bias"),
    "1 missing: text.roberta.embeddings.LayerNorm.bias$": without("mulan.text.model.embeddings.LayerNorm.bias"),
    "1 left over: audio.conformer.layers.2": tiny.build() | {f"{MUQ}.conformer.layers.2.ffn1.bias": torch.ones(2)},
    "1 left over: mulan.audio.norm.weight$": tiny.build() | {"mulan.audio.norm.learned_gamma": torch.ones(2)},
    r"1 of another shape: audio.top.projection.bias \(2,\), expected \(48,\)": tiny.build()
    | {"mulan.audio.proj.bias": torch.ones(2)},
    "1 not finite: text.top.to_latents": tiny.build() | {"mulan.text_to_latents.bias": torch.full((512,), torch.nan)},
    "missing: audio.conformer.*; 1 left over: weight$": {"weight": torch.ones(2)},
}


@pytest.mark.parametrize("message", OTHERS)
def test_another_checkpoint_is_refused(config: MuqConfig, message: str) -> None:
    with pytest.raises(ValueError, match=f"weights of tiny: not those of this encoder; .*{message}"):
        mulan_model(config, OTHERS[message], "tiny")


def test_older_versions_of_transformers_kept_positions_too(config: MuqConfig) -> None:
    mulan_model(config, tiny.build() | {"mulan.text.model.embeddings.position_ids": torch.arange(66)[None]}, "tiny")
