"""The three `config.json`: every field is checked, in bounds, and named when it is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from feature_export.encoders.muq.config import MuqConfig, read_config
from feature_export.weights import find_weights
from tests.tiny_weights import muq as tiny

MISSING = object()


def change(weights: Path, name: str, field: str, value: Any) -> None:
    path = weights / name / "config.json"
    config = json.loads(path.read_text())
    *sections, key = field.split(".")
    part = config
    for section in sections:
        part = part[section]
    part.pop(key) if value is MISSING else part.update({key: value})
    path.write_text(json.dumps(config))


def read() -> MuqConfig:
    return read_config(find_weights("muq"), 512)


def test_reads_all_sizes(weights: Path) -> None:
    config = read()
    assert (config.audio.dim, config.text.dim, config.audio.depth, config.latent_dim) == (48, 32, 2, 512)
    assert (config.conformer.hidden_size, config.heard_layers, config.roberta.vocab_size) == (64, 2, 77)


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        (tiny.MULAN, "audio_transformer.tf_depth", MISSING, "audio_transformer.tf_depth: is missing"),
        (tiny.MULAN, "text_transformer", MISSING, "text_transformer: is missing"),
        (tiny.MULAN, "mulan", 3, "mulan: got 3, accepted is an object"),
        (tiny.MULAN, "mulan.sr", 16000, "mulan.sr: got 16000, accepted is 24000"),
        (tiny.MULAN, "mulan.clip_secs", 5, "mulan.clip_secs: got 5, accepted is 10"),
        (tiny.MULAN, "mulan.dim_latent", 128, "mulan.dim_latent: got 128, accepted is 512"),
        (tiny.MULAN, "audio_model.use_layer_idx", 3, "use_layer_idx: got 3, accepted is a whole number from -3 to 2"),
        (tiny.MULAN, "audio_transformer.dim", 1 << 20, "dim: got 1048576, accepted is a whole number from 1 to 2048"),
        (tiny.MULAN, "audio_transformer.heads", True, "heads: got True, accepted is a whole number"),
        (tiny.MUQ, "encoder_depth", 1000, "encoder_depth: got 1000, accepted is a whole number from 1 to 48"),
        (tiny.MUQ, "label_rate", 50, "label_rate: got 50, accepted is 25"),
        (tiny.MUQ, "stat.melspec_2048_mean", MISSING, "stat.melspec_2048_mean: is missing"),
        (tiny.MUQ, "stat.melspec_2048_std", 0, "stat.melspec_2048_std: got 0, accepted is a number above 0"),
        (tiny.MUQ, "stat.melspec_2048_mean", "6", "melspec_2048_mean: got '6', accepted is a number"),
        (tiny.MUQ, "stat.melspec_2048_mean", float("nan"), "melspec_2048_mean: got nan, accepted is a number"),
        (tiny.MUQ, "w2v2_config.hidden_act", None, "w2v2_config.hidden_act: got None, accepted is text"),
        (tiny.MUQ, "w2v2_config.position_embeddings_type", "relative", "got 'relative', accepted is 'rotary'"),
        (tiny.ROBERTA, "vocab_size", 10**9, "vocab_size: got 1000000000, accepted is a whole number from 1 to 524288"),
        (tiny.ROBERTA, "pad_token_id", 0, "pad_token_id: got 0, accepted is 1"),
    ],
)
def test_a_wrong_field_is_named(weights: Path, name: str, field: str, value: Any, message: str) -> None:
    change(weights, name, field, value)
    with pytest.raises(ValueError, match=f"{name}/config.json: .*{message}"):
        read()


@pytest.mark.parametrize(("layer", "heard"), [(-1, 2), (2, 2), (-2, 1), (0, 0), (-3, 0)])
def test_layers_are_counted_from_both_ends(weights: Path, layer: int, heard: int) -> None:
    change(weights, tiny.MULAN, "audio_model.use_layer_idx", layer)
    assert read().heard_layers == heard


def test_a_file_that_is_missing_large_or_no_json(weights: Path) -> None:
    path = weights / tiny.MUQ / "config.json"
    for content, message in ((" " * (1 << 21), "accepted are at most"), ("{", "not JSON"), ("[]", "a JSON object")):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            read()
    path.unlink()
    with pytest.raises(ValueError, match=r"config.json is not there; get it with: tunejury encoders fetch muq"):
        read()
