"""File facts against hand-made values."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from feature_export.audio import Waveform
from feature_export.encoders.signal import SignalFacts
from tunejury_jax.blocks import FACTS, SIGNAL


def facts(samples: torch.Tensor, sample_rate_hz: int) -> dict[str, float]:
    return dict(zip(FACTS, SignalFacts().embed(Waveform(samples, sample_rate_hz)).tolist(), strict=True))


def test_facts_of_a_sine() -> None:
    t = np.arange(44_100 * 3 // 2) / 44_100
    sine = torch.from_numpy(np.stack([0.5 * np.sin(2 * np.pi * 100 * t), 0 * t]).astype("f4"))
    made = facts(sine, 44_100)
    assert made["duration_s"] == 1.5
    assert made["sample_rate_hz"] == 44_100
    assert made["channels"] == 2
    assert_allclose(made["peak"], 0.5, rtol=1e-4)
    assert_allclose(made["rms_dbfs"], 20 * np.log10(0.25), atol=1e-3)  # 0.5 / sqrt(2) in one of two channels


@pytest.mark.parametrize("level", [0.0, 1e-9])
def test_silence_has_a_floor(level: float) -> None:
    assert facts(torch.full((1, 10), level), 8000)["rms_dbfs"] == -120


def test_negative_peak_and_full_scale() -> None:
    made = facts(torch.tensor([[-1.0, -1.0, -1.0]]), 3)
    assert (made["duration_s"], made["peak"], made["rms_dbfs"]) == (1, 1, 0)


def test_declares_the_signal_block() -> None:
    assert SignalFacts().block == SIGNAL
    assert SIGNAL.dim == len(FACTS)
    assert SignalFacts().provenance()["encoder"] == "signal"
