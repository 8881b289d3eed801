"""Stacks: order, joining, prompts, and samples handed in by callers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.testing import assert_allclose

from feature_export.audio import AudioError, SignalPath, Waveform, load
from feature_export.encoders import Stack, load_stack, waveform
from feature_export.encoders.mel import MelBaseline
from feature_export.encoders.ngram import NgramBaseline
from feature_export.encoders.protocol import Provenance
from tunejury_jax.blocks import SIGNAL

STACK = load_stack(["mel"], SignalPath())
SAMPLES = (0.1 * np.random.default_rng(0).standard_normal((2, 30_000))).astype(np.float32)


def joined(*arguments: Any, **options: Any) -> np.ndarray:
    """What a head reads of what the stack embeds."""
    blocks = STACK.embed(*arguments, **options)
    return STACK.layout.join({name: values[None] for name, values in blocks.items()})[0]


def test_file_facts_come_first_and_are_no_input() -> None:
    assert [encoder.block.name for encoder in STACK.encoders] == ["signal", "mel_baseline", "ngram_baseline"]
    assert STACK.layout.names == ("mel_baseline", "ngram_baseline")
    assert list(STACK.provenance()) == ["signal", "mel_baseline", "ngram_baseline"]


def test_embed_audio_is_every_audio_encoder() -> None:
    wave = Waveform(torch.from_numpy(SAMPLES), 44_100)
    made = STACK.embed_audio(wave)
    assert list(made) == ["signal", "mel_baseline"]
    assert made["signal"].shape == (SIGNAL.dim,)
    assert_allclose(made["mel_baseline"], MelBaseline().embed(wave).numpy(), rtol=0, atol=0)
    assert all(values.dtype == np.float32 for values in made.values())
    assert torch.is_grad_enabled()


class Constant:
    """A text encoder that hands out one tensor again and again, also for no text."""

    block = NgramBaseline.block
    revision = description = "constant"
    ones = torch.ones(256)

    def provenance(self) -> Provenance:
        return {}

    def embed(self, text: str) -> torch.Tensor:
        return self.ones

    def cut_tokens(self, text: str) -> int:
        return max(0, len(text) - 3)


@pytest.mark.parametrize("prompt", ["", " ", "\t\n\u3000"])
def test_no_prompt_is_zeros_and_not_encoded(prompt: str) -> None:
    made = Stack((), (Constant(),)).embed_prompt(prompt)
    assert made["ngram_baseline"].tolist() == [0.0] * 256
    assert made["ngram_baseline"].dtype == np.float32


def test_an_encoder_keeps_its_tensors() -> None:
    stack = Stack((), (Constant(),))
    stack.embed_prompt("x")["ngram_baseline"][:] = 7
    assert stack.embed_prompt("x")["ngram_baseline"].tolist() == [1.0] * 256


def test_a_prompt_is_encoded() -> None:
    assert_allclose(STACK.embed_prompt("!")["ngram_baseline"], NgramBaseline().embed("!").numpy(), rtol=0, atol=0)


def test_features_are_joined_in_the_order_of_the_layout() -> None:
    made = joined(SAMPLES, 44_100, "warm piano")
    wave = Waveform(torch.from_numpy(SAMPLES), 44_100)
    assert made.shape == (STACK.layout.dim,)
    assert made.dtype == np.float32
    assert np.array_equal(made[STACK.layout.columns("mel_baseline")], MelBaseline().embed(wave).numpy())
    assert np.array_equal(made[STACK.layout.columns("ngram_baseline")], NgramBaseline().embed("warm piano").numpy())


def test_embed_has_every_block() -> None:
    assert list(STACK.embed(SAMPLES, 44_100, "x")) == ["signal", "mel_baseline", "ngram_baseline"]


def test_a_file_and_its_samples_are_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", SAMPLES.T, 32_000, subtype="FLOAT")
    by_file = joined(tmp_path / "clip.wav", None, "x")
    assert np.array_equal(by_file, joined(SAMPLES, 32_000, "x"))
    assert np.array_equal(by_file, joined(str(tmp_path / "clip.wav"), prompt="x"))


def test_mono_samples_may_be_one_axis() -> None:
    assert np.array_equal(joined(SAMPLES[0], 32_000), joined(SAMPLES[:1], 32_000))


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_integers_are_scaled_as_a_file_is(tmp_path: Path, dtype: type) -> None:
    integers = (SAMPLES * (np.iinfo(dtype).max * 0.9)).astype(dtype)
    subtype = "PCM_16" if dtype is np.int16 else "PCM_32"
    soundfile.write(tmp_path / "clip.wav", integers.T, 32_000, subtype=subtype)
    expected, made = load(tmp_path / "clip.wav").samples, waveform(integers, 32_000).samples
    assert made.dtype == torch.float32
    assert torch.equal(made, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32(dtype: type) -> None:
    wave = waveform(SAMPLES.astype(dtype), 32_000)
    assert wave.samples.dtype == torch.float32
    assert_allclose(wave.samples, SAMPLES, atol=1e-3)


def test_samples_are_copied() -> None:
    mine = SAMPLES.copy()
    waveform(mine, 32_000).samples.zero_()
    assert np.array_equal(mine, SAMPLES)
    mine.flags.writeable = False
    waveform(mine[:, ::-1], 32_000)


@pytest.mark.parametrize(
    ("samples", "sample_rate_hz", "message"),
    [
        (SAMPLES, None, "sample_rate_hz: samples need a positive sampling rate in Hz, got None"),
        (SAMPLES, 0, "sample_rate_hz: samples need a positive sampling rate in Hz, got 0"),
        (SAMPLES.T, 8000, r"with 1 to 32 channels and at least one sample, got the shape \(30000, 2\)"),
        (SAMPLES[None], 8000, r"got the shape \(1, 2, 30000\)"),
        (SAMPLES[:, :0], 8000, r"got the shape \(2, 0\)"),
        (np.ones(()), 8000, r"got the shape \(\)"),
        (np.zeros(4, np.uint8), 8000, "expected a floating dtype, int16 or int32, got uint8"),
        (np.zeros(4, bool), 8000, "got bool"),
        (np.array([0.0, np.nan, np.inf]), 8000, "audio: 2 of 3 samples are not finite as float32"),
        (np.array([0.0, 1e300]), 8000, "audio: 1 of 2 samples are not finite as float32"),
    ],
)
def test_samples_that_are_none(samples: Any, sample_rate_hz: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        joined(samples, sample_rate_hz)


def test_a_file_tells_its_own_rate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sample_rate_hz: a file tells its own, expected None, got 44100"):
        joined(tmp_path / "clip.wav", 44_100)
    with pytest.raises(AudioError, match="no such file"):
        joined(tmp_path / "clip.wav")


def test_samples_far_beyond_full_scale() -> None:
    with pytest.raises(ValueError, match=r"signal: the embedding is not finite, the samples reach \d.*e\+\d+"):
        joined(SAMPLES * np.float32(1e18), 24_000)


class Misplaced(Constant):
    """A text encoder that says it fills a block of clips."""

    block = MelBaseline.block


def test_members_belong_to_their_table() -> None:
    with pytest.raises(ValueError, match="text: expected encoders of the prompt table, got Block"):
        Stack((), (Misplaced(),))
    with pytest.raises(ValueError, match="each block may occur once"):
        Stack((MelBaseline(), MelBaseline()), ())
    with pytest.raises(ValueError, match="at least one block"):
        Stack((), ())


def test_tells_how_much_of_a_prompt_is_not_heard() -> None:
    stack = load_stack(["mel"], SignalPath())
    assert stack.cut_tokens("word " * 1000) == {"ngram_baseline": 0}
    limited = Stack((), (Constant(),))
    assert limited.cut_tokens("12345") == {"ngram_baseline": 2}
