"""The encoders as a whole: every clip and prompt, laws, gradients, and where the weights come from."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import FAMILIES, AudioEncoder, Compute, TextEncoder, WindowedEncoder, load_stack
from feature_export.encoders.muq.encoder import MuqAudio, MuqText
from feature_export.encoders.muq.network import AudioNetwork
from feature_export.encoders.registry import stack_from_provenance
from tests.oracles.signals import direction, music_like
from tests.tiny_weights import muq as tiny

RATE_HZ = 24_000
BATCH = 1e-6


def wave(duration_s: float, seed: int = 0) -> Waveform:
    return Waveform(torch.from_numpy(music_like(round(duration_s * RATE_HZ), RATE_HZ, seed))[None], RATE_HZ)


def test_they_are_encoders(audio: MuqAudio, text: MuqText) -> None:
    assert isinstance(audio, WindowedEncoder)
    assert isinstance(audio, AudioEncoder)
    assert isinstance(text, TextEncoder)


@pytest.mark.parametrize(
    ("channels", "samples", "rate_hz"), [(1, 1, 24_000), (8, 4_000, 8_000), (2, 1, 8_000), (1, 700, 192_000)]
)
def test_any_clip_has_a_finite_embedding(audio: MuqAudio, channels: int, samples: int, rate_hz: int) -> None:
    clip = torch.from_numpy(music_like(channels * samples, rate_hz, 1).reshape(channels, samples))
    embedding = audio.embed(Waveform(clip, rate_hz))
    assert embedding.shape == (512,)
    assert abs(float(embedding.norm()) - 1) < 1e-5


@pytest.mark.parametrize("samples", [1, 48_000, 300_000])
def test_silence_is_finite_and_so_is_its_gradient(audio: MuqAudio, samples: int) -> None:
    clip = torch.zeros(1, samples, requires_grad=True)
    embedding = audio.embed(Waveform(clip, RATE_HZ))
    embedding.sum().backward()
    assert embedding.isfinite().all()
    assert clip.grad is not None
    assert clip.grad.isfinite().all()


def test_a_chunk_heard_twice_embeds_as_once(audio: MuqAudio) -> None:
    once = wave(10.0)
    twice = Waveform(torch.cat([once.samples, once.samples], 1), RATE_HZ)
    assert_close(audio.embed(twice).numpy(), audio.embed(once).numpy(), BATCH)


def test_the_mean_over_chunks_is_not_brought_to_unit_length(audio: MuqAudio) -> None:
    parts = [wave(10.0, 1), wave(10.0, 2)]
    whole = audio.embed(Waveform(torch.cat([part.samples for part in parts], 1), RATE_HZ))
    assert_close(whole.numpy(), np.mean([audio.embed(part).numpy() for part in parts], 0), BATCH)
    assert float(whole.norm()) < 0.9999


def test_a_row_does_not_depend_on_its_neighbours(audio: MuqAudio) -> None:
    rows = torch.cat([wave(2.0, seed).samples for seed in range(3)])
    alone = torch.cat([audio.embed_windows(row[None]) for row in rows])
    assert_close(audio.embed_windows(rows).numpy(), alone.numpy(), BATCH)
    assert (alone[0] - alone[1]).abs().max() > 1e-3


def test_twice_the_same_bits_and_the_callers_generator_stays(audio: MuqAudio, text: MuqText) -> None:
    before = torch.random.get_rng_state()
    assert torch.equal(audio.embed(wave(3.0)), audio.embed(wave(3.0)))
    assert torch.equal(text.embed("sad piano"), text.embed("sad piano"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_inference_mode_does_not_break_a_later_gradient(audio: MuqAudio) -> None:
    with torch.inference_mode():
        audio.embed(wave(1.5))
    clip = wave(1.5)
    clip.samples.requires_grad_()
    audio.embed(clip).sum().backward()
    assert clip.samples.grad is not None
    assert clip.samples.grad.abs().min() >= 0
    assert (clip.samples.grad != 0).float().mean() > 0.99


def test_gradients_are_those_of_finite_differences(audio: MuqAudio) -> None:
    network = audio.network
    assert isinstance(network, AudioNetwork)
    double = AudioNetwork(copy.deepcopy(network.log_mel).double(), copy.deepcopy(network.side).double(), Compute())
    clip, along = wave(0.2, 4).samples.double(), torch.from_numpy(direction(512)).double()
    step = torch.from_numpy(np.random.RandomState(0).standard_normal(clip.shape))
    points = (clip + size * step for size in (1e-7, -1e-7))
    above, below = (float(double(point)[0] @ along) for point in points)
    clip.requires_grad_()
    (gradient,) = torch.autograd.grad(double(clip)[0] @ along, clip)
    expected = float((gradient * step).sum())
    assert abs((above - below) / 2e-7 - expected) < 1e-5 * abs(expected)


def test_bfloat16_is_near_and_recorded(audio: MuqAudio, text: MuqText, muq_root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(muq_root))
        (rough,), (rough_text,) = FAMILIES["muq"].make(SignalPath(), Compute(autocast=True))
    for exact, near in (
        (audio.embed(wave(3.0)), rough.embed(wave(3.0))),
        (text.embed("calm piano"), rough_text.embed("calm piano")),
    ):
        assert near.dtype == torch.float32
        assert 1e-5 < 1 - float(torch.cosine_similarity(exact, near, 0)) < 1e-2
        assert abs(float(near.norm()) - 1) < 1e-5
    assert rough.provenance()["dtype"] == "bfloat16 autocast"


def test_decibels_are_never_rounded_to_bfloat16(audio: MuqAudio) -> None:
    exact = audio.network
    assert isinstance(exact, AudioNetwork)
    heard: list[torch.Tensor] = []
    hook = exact.side.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    for compute in (Compute(), Compute(autocast=True)):
        AudioNetwork(exact.log_mel, exact.side, compute)(wave(1.0).samples)
    hook.remove()
    assert torch.equal(heard[0], heard[1])


def test_samples_of_another_dtype_keep_it(audio: MuqAudio) -> None:
    clip = wave(1.0)
    double = audio.embed(Waveform(clip.samples.double(), RATE_HZ))
    assert double.dtype == torch.float64
    assert_close(double.float().numpy(), audio.embed(clip).numpy(), BATCH)


def test_a_prompt_has_unit_length_and_its_own_place(text: MuqText) -> None:
    found = torch.stack([text.embed(prompt) for prompt in ("calm piano", "fast", "钢琴曲", "\N{MUSICAL NOTE} ?")])
    assert torch.allclose(found.norm(dim=1), torch.tensor(1.0), atol=1e-5)
    assert ((found[:, None] - found).abs().amax(-1) + torch.eye(4)).min() > 1e-3


def test_the_family_makes_a_stack_that_its_provenance_rebuilds(weights: Path) -> None:
    stack = load_stack(["muq"], SignalPath(int16=True))
    assert stack.layout.names == ("muq_audio", "muq_text")
    features = stack.embed(music_like(24_000, RATE_HZ, 0), RATE_HZ, "calm piano")
    again = stack_from_provenance(stack.provenance(), "cpu")
    found = again.embed(music_like(24_000, RATE_HZ, 0), RATE_HZ, "calm piano")
    assert all(np.array_equal(features[name], found[name]) for name in features)
    tiny.write(weights, seed=1)
    with pytest.raises(ValueError, match=r"muq_audio.weights_sha256: recorded '\w+', this version makes '\w+'"):
        stack_from_provenance(stack.provenance(), "cpu")


def test_provenance_pins_the_files_and_the_path(audio: MuqAudio, text: MuqText) -> None:
    made = audio.provenance()
    assert made["encoder"] == "muq_audio"
    assert made["signal_path"] == {"crop": "middle", "train16k": False, "int16": False, "seed": 0}
    assert (made["weights"], made["weights_revision"], made["dtype"]) == ("MuQ-MuLan-large", "unrecorded", "float32")
    assert "backend" not in made
    assert text.provenance()["weights_sha256"] != made["weights_sha256"]


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="tunejury encoders fetch muq"):
        FAMILIES["muq"].make(SignalPath(), Compute())
