"""Ladders with scores of which the answer is known, and the signals they are made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunejury_jax.evaluation import sanity
from tunejury_jax.evaluation.sanity import climb, fits, ladders
from tunejury_jax.evaluation.sanity_plot import save
from tunejury_jax.evaluation.signals import (
    RATE_HZ,
    add_noise,
    boundary_signals,
    coloured_noise,
    hard_clip,
    harmonics,
    white_noise,
)


def decay(seconds: float = 10, hz: float = 330) -> np.ndarray:
    """A tone that falls off: pure, and different backwards."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return 0.8 * np.sin(2 * np.pi * hz * times) * np.exp(-((times % 10) / 4))


def purity(samples: np.ndarray, rate_hz: int) -> float:
    """Share of the power in the strongest 16 Hz, plus a little for a loud beginning; silence is worst."""
    assert rate_hz == RATE_HZ
    if not samples.any():
        return -1.0
    power = np.square(np.abs(np.fft.rfft(samples)))
    width = max(1, 16 * len(samples) // RATE_HZ)
    half = len(samples) // 2
    early = np.square(samples[:half]).sum() / np.square(samples).sum()
    return float(np.add.reduceat(power, np.arange(0, len(power), width)).max() / power.sum() + 0.01 * early)


@pytest.fixture(autouse=True)
def short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanity, "LENGTHS_S", (1, 3, 20))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sanity, "LENGTHS_S", (1, 3, 20))
        return ladders([decay(12), decay(25, 200)], purity)


def test_a_score_that_hears_passes(document: dict[str, Any]) -> None:
    assert fits(document) == {"snr": True, "clipping": True, "segment": True, "reversal": True}
    assert [rung["level"] for rung in document["snr"]["rungs"]] == ["clean", 40, 20, 10, 5, 0]
    assert document["snr"]["monotone_clips"] == 1
    assert document["reversal"]["worse_backward"] == 1
    assert [len(rung["scores"]) for rung in document["length"]["rungs"]] == [2, 2, 1, 2]
    assert [found["worst_start_s"] for found in document["segment"].values()] == [20, 20]


def test_a_deaf_score_fails() -> None:
    found = ladders([decay(2)], lambda samples, rate_hz: 1.0)
    assert fits(found) == {"snr": False, "clipping": False, "segment": False, "reversal": False}
    assert found["clipping"]["monotone_clips"] == 0


def test_one_level_rung_is_not_strictly_monotone() -> None:
    scores = iter([3.0, 2.0, 2.0, 1.0])
    found = climb([np.ones(4)], lambda samples, rate_hz: next(scores), (1, 2, 3), lambda clip, level: clip)
    assert found["monotone"] is False
    assert [rung["mean"] for rung in found["rungs"]] == [3, 2, 2, 1]


def test_what_is_no_music_may_be_refused() -> None:
    def within_full_scale(samples: np.ndarray, rate_hz: int) -> float:
        if np.abs(samples).max() > 1:
            raise ValueError("too loud")
        return purity(samples, rate_hz)

    found = {row["input"]: row for row in ladders([decay(1)], within_full_scale)["boundary"]}
    assert found["silence"] == {"input": "silence", "score": -1, "refused": None}
    assert found["white noise 0 dBFS"] == {"input": "white noise 0 dBFS", "score": None, "refused": "too loud"}


def test_bad_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="clips: expected at least one"):
        ladders([], purity)
    for bad in (np.zeros(0), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match=r"clips\[1\]: expected finite samples"):
            ladders([decay(1), bad], purity)


def test_levels_of_noise() -> None:
    for dbfs in (-60, -20, 0):
        noises = white_noise(160_000, dbfs), coloured_noise(160_000, 1, dbfs), coloured_noise(160_000, 2, dbfs)
        for noise in noises:
            assert 10 * np.log10(np.square(noise).mean()) == pytest.approx(dbfs, abs=0.05)


@pytest.mark.parametrize("slope", [1, 2])
def test_power_falls_with_frequency_as_said(slope: int) -> None:
    power = np.square(np.abs(np.fft.rfft(coloured_noise(2**18, slope, -20))))
    octaves = [power[2**k : 2 ** (k + 1)].mean() for k in range(8, 16)]
    assert np.mean(np.diff(np.log2(octaves))) == pytest.approx(-slope, abs=0.05)


def test_tones_peak_at_a_half_and_lie_where_they_should() -> None:
    for tones in ([440], [300, 600, 900]):
        wave = harmonics(RATE_HZ, tones)
        assert np.abs(wave).max() == pytest.approx(0.5)
        assert sorted(np.argsort(np.abs(np.fft.rfft(wave)))[-len(tones) :]) == tones
    assert len(boundary_signals(1600)) == 1 + 4 + 2 + 5 + 2


@pytest.mark.parametrize("snr_db", [40, 10, 0])
def test_noise_has_the_ratio_and_leaves_the_peak(snr_db: int) -> None:
    clip = decay()
    noisy = add_noise(clip, snr_db)
    gain = (noisy @ clip) / (clip @ clip)
    noise = noisy - gain * clip
    assert 10 * np.log10((gain * clip) @ (gain * clip) / (noise @ noise)) == pytest.approx(snr_db, abs=0.1)
    assert np.abs(noisy).max() == pytest.approx(np.abs(clip).max())


def test_clipping_flattens_and_leaves_the_peak() -> None:
    clip = decay()
    cut = hard_clip(clip, 0.1)
    loud = np.abs(clip) > 0.1 * np.abs(clip).max()
    assert np.abs(cut[loud]) == pytest.approx(np.abs(clip).max())
    np.testing.assert_allclose(cut[~loud], 10 * clip[~loud])
    assert not hard_clip(np.zeros(5), 0.5).any()
    assert not add_noise(np.zeros(5), 10).any()


def test_picture(document: dict[str, Any], tmp_path: Path) -> None:
    png, pdf = save(document, tmp_path / "sanity")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
