"""MERT's configuration files: read, and refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from feature_export.encoders.mert.config import read_config, read_normalize
from tests.tiny_weights.mert import CONFIG, PREPROCESSOR


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "config.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_reads_what_the_network_is_built_from(tmp_path: Path) -> None:
    published = CONFIG | {"auto_map": {"AutoModel": "evil.Code"}, "attention_relax": 32.0, "layer_norm_eps": 1e-5}
    config = read_config(written(tmp_path, published), 1024)
    assert config.architecture == {key: value for key, value in CONFIG.items() if key != "conv_bias"}
    assert config.shortest == 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_extractor_cqt": True}, "feature_extractor_cqt: got True, accepted are False"),
        ({"deepnorm": True}, "deepnorm: got True, accepted are False"),
        ({"feat_proj_layer_norm": False}, "feat_proj_layer_norm: got False, accepted are True"),
        ({"conv_pos_batch_norm": True}, "conv_pos_batch_norm: got True, accepted are False"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps: got 1e-12, accepted are 1e-05"),
        ({"do_stable_layer_norm": 1}, "do_stable_layer_norm: got 1, accepted are True, False"),
        ({"feat_extract_norm": None}, "feat_extract_norm: got None, accepted are 'group', 'layer'"),
        ({"hidden_size": 768}, "hidden_size: got 768, accepted are 1024"),
        ({"hidden_size": 10**9}, "hidden_size: got 1000000000, accepted are whole numbers from 1 to 4096"),
        ({"num_hidden_layers": "24"}, "num_hidden_layers: got '24', accepted are whole numbers from 1 to 96"),
        ({"num_hidden_layers": True}, "num_hidden_layers: got True, accepted are whole numbers"),
        ({"intermediate_size": None}, "intermediate_size: got None, accepted are whole numbers"),
        ({"num_attention_heads": 3}, "num_attention_heads: got 3, expected a divisor of 1024"),
        ({"conv_dim": 512}, "conv_dim: got 512, accepted are 1 to 16 numbers"),
        ({"conv_dim": [16] * 6}, r"conv_dim, conv_kernel, conv_stride: got \[6, 7, 7\] values, expected as many"),
        ({"conv_stride": [0] * 7}, "conv_stride: got 0, accepted are whole numbers from 1 to 64"),
    ],
)
def test_configurations_that_are_not_its_own(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"config.json: {message}"):
        read_config(written(tmp_path, CONFIG | changes), 1024)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object, got list"),
        (" " * 70_000, "70000 bytes, accepted are at most"),
    ],
)
def test_files_that_are_damaged_or_too_large(tmp_path: Path, document: str, message: str) -> None:
    for read in (read_config, read_normalize):
        with pytest.raises(ValueError, match=message):
            read(written(tmp_path, document))


@pytest.mark.parametrize("normalize", [True, False])
def test_normalisation_is_as_published(tmp_path: Path, normalize: bool) -> None:
    assert read_normalize(written(tmp_path, PREPROCESSOR | {"do_normalize": normalize})) is normalize


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling_rate": 16000}, "sampling_rate: got 16000, accepted are 24000"),
        ({"do_normalize": "yes"}, "do_normalize: got 'yes', accepted are True, False"),
        ({"do_normalize": None}, "do_normalize: got None"),
    ],
)
def test_preprocessors_that_are_not_its_own(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_normalize(written(tmp_path, PREPROCESSOR | changes))
