"""MERT against its published modelling code, whose embeddings and gradients `tests/golden/mert.npz` holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close

from feature_export.audio import SignalPath, Waveform, prepare
from feature_export.encoders import Compute
from feature_export.encoders.mert.config import MertConfig
from feature_export.encoders.mert.encoder import Mert, MertFraming
from feature_export.encoders.mert.network import MertNetwork
from feature_export.encoders.mert.pooling import MertPooling
from tests.oracles.signals import direction, music_like
from tests.tiny_weights.mert import NARROW, build, old_names

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "mert.npz", allow_pickle=False)
CONFIG = MertConfig(NARROW)
GRADIENT_STEP = 97
VALUE, GRADIENT = 1e-6, 1e-5

FIVE = music_like(120_000, 24_000, 1)
QUIET = (0.003 * FIVE + 0.001).astype(np.float32)
LOUD = (3 * FIVE[:48_000]).astype(np.float32)
NATIVE = music_like(66_150, 44_100, 2)
CASES = {
    "short": music_like(12_000, 24_000, 0),
    "five": FIVE,
    "normalized": QUIET,
    "chunks": FIVE,
    "normalized_chunks": QUIET,
    "joined": FIVE[:96_399],
    "least": FIVE[:400],
    "padded": FIVE[:300],
    "int16": LOUD,
    "native": NATIVE,
    "train16k": NATIVE,
}


@pytest.fixture(scope="module")
def network() -> MertNetwork:
    return MertNetwork.load(CONFIG, build(NARROW), Compute())


def encoder(network: MertNetwork, name: str) -> Mert:
    longest = 48_000 if name in ("chunks", "normalized_chunks", "joined") else 1_440_000
    return Mert(MertFraming(name.startswith("normalized"), CONFIG.shortest, longest), network, {})


@pytest.mark.parametrize("name", CASES)
def test_embeddings_and_gradients_are_the_published_codes(network: MertNetwork, name: str) -> None:
    samples = torch.from_numpy(CASES[name].copy()).requires_grad_()
    wave = Waveform(samples[None], 44_100 if name in ("native", "train16k") else 24_000)
    # The encoder itself has no use for the switches.
    path = SignalPath(int16=name == "int16", train16k=name == "train16k")
    embedding = encoder(network, name).embed(Waveform(prepare(wave, 24_000, path)[None], 24_000))
    assert_close(embedding.detach().numpy(), GOLDEN[name], VALUE)
    (gradient,) = torch.autograd.grad(embedding @ torch.from_numpy(direction(48)), samples)
    found, norm = gradient.numpy(), GOLDEN[f"{name}_gradient_norm"]
    expected = GOLDEN[f"{name}_gradient"][: len(found[::GRADIENT_STEP])]  # of a padded clip, those of the clip
    assert norm > 0
    assert np.linalg.norm(found[::GRADIENT_STEP] - expected) <= GRADIENT * norm
    if name != "padded":
        assert_close(np.linalg.norm(found.astype(np.float64)) / norm, 1.0, GRADIENT)


def test_rows_of_a_batch_are_those_of_the_published_code(network: MertNetwork) -> None:
    pair = torch.from_numpy(np.stack([FIVE[:48_000], FIVE[72_000:]]))
    assert_close(network(pair).numpy(), GOLDEN["pair"], VALUE)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("maximum", MertPooling(over_time="maximum")),
        ("maximum", MertPooling(3, "maximum")),
        ("all_layers", MertPooling(None)),
        ("first_layer", MertPooling(1)),
    ],
)
def test_other_poolings_are_of_the_published_codes_states(
    network: MertNetwork, name: str, pooling: MertPooling
) -> None:
    found = replace(network, pooling=pooling)(torch.from_numpy(FIVE[None, :12_000].copy()))
    assert_close(found[0].numpy(), GOLDEN[f"pooled_{name}"], VALUE)


def test_the_switches_of_the_golden_cases_matter() -> None:
    for one, other in (("five", "chunks"), ("normalized", "five"), ("normalized", "normalized_chunks")):
        assert np.abs(GOLDEN[one] - GOLDEN[other]).max() > 1e-3
    assert np.abs(GOLDEN["native"] - GOLDEN["train16k"]).max() > 1e-3


def test_the_shortest_clip_is_the_published_codes() -> None:
    assert CONFIG.shortest == 400
    assert GOLDEN["frames"].tolist() == [1, 1, 2, 74]  # of 400, 719, 720 and 24,000 samples


def test_names_of_old_checkpoints_load_alike(network: MertNetwork) -> None:
    old = old_names(build(NARROW))
    assert sum("weight_g" in key or "weight_v" in key for key in old) == 2
    samples = torch.from_numpy(FIVE[None, :12_000])
    assert torch.equal(MertNetwork.load(CONFIG, old, Compute())(samples), network(samples))
