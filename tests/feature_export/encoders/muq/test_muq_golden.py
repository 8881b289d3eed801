"""MuQ-MuLan against the package muq, whose embeddings and gradients `tests/golden/muq.npz` holds."""

import ast
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders.compute import Compute
from feature_export.encoders.muq import make
from feature_export.encoders.muq.encoder import MuqAudio, MuqText
from tests.oracles.signals import direction, music_like
from tests.tiny_weights import muq as tiny

GOLDEN = np.load(Path(__file__).parents[3] / "golden" / "muq.npz", allow_pickle=False)
RATE_HZ = 24_000
GRADIENT_STEP = 97
VALUE, GRADIENT = 1e-6, 1e-5


def clip(samples: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(music_like(samples, RATE_HZ, seed))[None]


CLIPS = {
    "shortest": clip(513, 8),
    "short": clip(3 * RATE_HZ, 0),
    "wrapped": clip(7 * RATE_HZ, 3),
    "exact": clip(10 * RATE_HZ, 1),
    "long": clip(25 * RATE_HZ, 2),
}


def test_the_weights_are_those_of_the_golden_file() -> None:
    digest = hashlib.sha256()
    for key, value in sorted(tiny.build().items()):
        digest.update(key.encode() + value.numpy().tobytes())
    assert digest.hexdigest() == str(GOLDEN["weights_sha256"])


@pytest.mark.parametrize("name", CLIPS)
def test_clips(audio: MuqAudio, name: str) -> None:
    assert_close(audio.embed(Waveform(CLIPS[name], RATE_HZ)).numpy(), GOLDEN[f"audio_{name}"][0], VALUE)


def test_the_golden_clips_differ() -> None:
    found = np.concatenate([GOLDEN[f"audio_{name}"] for name in CLIPS] + [GOLDEN["audio_pair"]])
    apart = np.abs(found[:, None] - found).max(-1) + np.eye(len(found))
    assert apart.min() > 5e-3


def test_a_batch(audio: MuqAudio) -> None:
    pair = torch.cat([clip(10 * RATE_HZ, 6), clip(10 * RATE_HZ, 7)])
    assert_close(audio.embed_windows(pair).numpy(), GOLDEN["audio_pair"], VALUE)


@pytest.mark.parametrize(
    ("name", "wave", "switch"),
    [
        ("int16", Waveform(3 * clip(2 * RATE_HZ, 4), RATE_HZ), {"int16": True}),
        ("16k", Waveform(torch.from_numpy(music_like(132_300, 44_100, 5))[None], 44_100), {"train16k": True}),
    ],
)
def test_the_switches_of_the_signal_path(audio: MuqAudio, name: str, wave: Waveform, switch: dict[str, bool]) -> None:
    switched = replace(audio, framing=replace(audio.framing, path=SignalPath(**switch)))
    assert_close(switched.embed(wave).numpy(), GOLDEN[f"audio_{name}"][0], VALUE)
    assert np.abs(audio.embed(wave).numpy() - GOLDEN[f"audio_{name}"][0]).max() > 1e-3


@pytest.mark.parametrize("name", ["short", "exact", "long"])
def test_gradients(audio: MuqAudio, name: str) -> None:
    samples = CLIPS[name].clone().requires_grad_()
    along = audio.embed(Waveform(samples, RATE_HZ)) @ torch.from_numpy(direction(512))
    (gradient,) = torch.autograd.grad(along, samples)
    found, norm = gradient[0].numpy(), GOLDEN[f"gradient_{name}_norm"]
    assert norm > 0
    # A fraction of the samples has that fraction of the squared norm, about.
    part = norm / np.sqrt(GRADIENT_STEP)
    assert np.linalg.norm(found[::GRADIENT_STEP] - GOLDEN[f"gradient_{name}"]) <= GRADIENT * part
    assert_close(np.linalg.norm(found.astype(np.float64)) / norm, 1.0, GRADIENT)


def test_the_spectrum(audio: MuqAudio) -> None:
    log_mel = audio.network.log_mel  # type: ignore[attr-defined]
    decibels = log_mel(CLIPS["short"])[0] * log_mel.std + log_mel.mean
    assert decibels.shape[-1] == GOLDEN["spectrum_frames"]
    assert np.abs(decibels[:, ::20].numpy() - GOLDEN["spectrum"]).max() < 2e-5


@pytest.mark.parametrize("row", range(len(GOLDEN["prompts"])))
def test_prompts(text: MuqText, row: int) -> None:
    prompt = str(GOLDEN["prompts"][row])
    assert text.tokens.heard(prompt) == ast.literal_eval(str(GOLDEN["tokens"][row]))
    assert_close(text.embed(prompt).numpy(), GOLDEN["text"][row], VALUE)


def test_another_layer_and_a_projection_of_the_text(weights: Path) -> None:
    for name, config in tiny.configs(text_dim=24, layer=1).items():
        (weights / name / "config.json").write_text(json.dumps(config))
    torch.save(tiny.build(text_dim=24), weights / tiny.MULAN / "pytorch_model.bin")
    (audio,), (text,) = make(SignalPath(), Compute())
    assert_close(audio.embed(Waveform(CLIPS["short"], RATE_HZ)).numpy(), GOLDEN["layer_1"][0], VALUE)
    assert_close(text.embed(str(GOLDEN["prompts"][0])).numpy(), GOLDEN["projected_text"], VALUE)
    assert np.abs(GOLDEN["layer_1"] - GOLDEN["audio_short"]).max() > 1e-2
