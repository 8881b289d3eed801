"""The mel baseline against float64 NumPy written from its docstring, and its laws."""

import json
import math
import time

import numpy as np
import pytest
import torch
from jaxtyping import Float
from numpy.testing import assert_allclose

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import mel
from feature_export.encoders.bases import chroma_basis, mel_basis, modulation_basis
from feature_export.encoders.mel import MelBaseline

RATE_HZ = 24_000
SIZES = {"mel_mean": 64, "mel_std": 64, "mel_delta": 64, "modulation": 128, "chroma_mean": 36, "chroma_std": 36}
SIZES |= {"level": 5, "crest": 1, "kurtosis": 1, "clipping": 1}
PINNED = [
    0.3016,
    0.2599,
    1.7763,
    2.0442,
    2.5313,
    1.5014,
    -2.1809,
    -0.3363,
    0.6624,
    -0.1189,
    -0.9139,
    -0.8757,
    -0.6853,
    0.3932,
    -0.3333,
    -0.6024,
    0.4019,
]
NumPy = Float[np.ndarray, "..."]


def frames_of(x: NumPy, size: int, hop: int) -> NumPy:
    missing = max(0, size - len(x))
    x = np.concatenate([np.zeros(missing // 2), x, np.zeros(missing - missing // 2)])
    return np.stack([x[start : start + size] for start in range(0, len(x) - size + 1, hop)])


def power_of(x: NumPy, size: int, hop: int) -> NumPy:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return np.abs(np.fft.rfft(frames_of(x, size, hop) * window)) ** 2 / np.sum(window**2)


def mel_filters() -> NumPy:
    def hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)

    top = 15 + 27 * math.log(12) / math.log(6.4)
    edges = [hz(top * k / 65) for k in range(66)]
    bins = np.arange(513) * RATE_HZ / 1024
    shapes = [np.interp(bins, edges[k : k + 3], [0, 1, 0]) for k in range(64)]
    return np.stack([s * RATE_HZ / 1024 / ((edges[k + 2] - edges[k]) / 2) for k, s in enumerate(shapes)])


def chroma_of(x: NumPy) -> NumPy:
    magnitudes = np.sqrt(power_of(x, 8192, 2400) + 1e-8)
    shares = np.zeros((36, 4097))
    for k in range(4097):
        hz = k * RATE_HZ / 8192
        if 220 <= hz < 3520:
            place = 36 * math.log2(hz / 440) % 36
            low = int(place)
            shares[low, k] = 1 - (place - low)
            shares[(low + 1) % 36, k] = place - low
    folded = magnitudes @ (shares / shares.sum(1, keepdims=True)).T
    return folded / folded.sum(1, keepdims=True)


def modulation_of(log_mel: NumPy) -> NumPy:
    count = len(log_mel)
    taper = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2
    edges, size = 0.5 * 100 ** (np.arange(9) / 8), max(count, 1024)
    energies = np.zeros((16, 8))
    for group in range(16):
        line = log_mel[:, 4 * group : 4 * group + 4].mean(1)
        line = (line - np.average(line, weights=taper)) * taper
        density = 2 * np.abs(np.fft.rfft(line, size)) ** 2 / (100 * np.sum(taper**2))
        bin_edges = (np.arange(len(density) + 1) - 0.5) * 100 / size
        below = np.interp(edges, bin_edges, np.concatenate([[0], np.cumsum(density)]) * 100 / size)
        energies[group] = np.diff(below)
    return np.log10(energies + 0.01)


def reference(x: NumPy) -> dict[str, NumPy]:
    power = power_of(x, 1024, 240)
    two_sided = np.concatenate([power, power[:, 1:-1]], axis=1)
    log_mel = 10 * np.log10(power @ mel_filters().T + 1e-8)
    chroma = chroma_of(x)
    peak, centred = np.abs(x).max(), x - x.mean()
    near = 1 / (1 + np.exp(-(np.abs(x) / (peak + 1e-5) - 0.98) / 0.005))
    return {
        "mel_mean": log_mel.mean(0),
        "mel_std": np.sqrt(log_mel.var(0) + 1e-4),
        "mel_delta": np.abs(np.diff(log_mel, axis=0)).mean(0) if len(log_mel) > 1 else np.zeros(64),
        "modulation": modulation_of(log_mel).ravel(),
        "chroma_mean": np.log(36 * chroma.mean(0) + 0.1),
        "chroma_std": 36 * np.sqrt(chroma.var(0) + 1e-8),
        "level": np.quantile(10 * np.log10(two_sided.mean(1) + 1e-8), [0.05, 0.25, 0.5, 0.75, 0.95]),
        "crest": np.log((peak + 1e-5) / np.sqrt(np.mean(x**2) + 1e-10)),
        "kurtosis": np.log((np.mean(centred**4) + 1e-20) / (np.mean(centred**2) + 1e-10) ** 2),
        "clipping": np.log(near.mean() + 1e-5),
    }


def music(seconds: float = 1.5, seed: int = 0) -> Float[np.ndarray, " samples"]:
    """Three decaying notes over noise that comes and goes."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    notes = sum(np.sin(2 * np.pi * hz * t) * np.exp(-3 * ((t - onset) % 0.5)) for hz, onset in ((220, 0), (554, 0.1)))
    return 0.2 * notes + 0.05 * rng.standard_normal(len(t)) * (1 + np.sin(2 * np.pi * 3.7 * t))


def wave_of(x: NumPy, rate_hz: int = RATE_HZ) -> Waveform:
    return Waveform(torch.from_numpy(np.atleast_2d(x)), rate_hz)


def groups_of(wave: Waveform) -> dict[str, NumPy]:
    """The embedding taken apart, without the scales."""
    parts = MelBaseline().embed(wave).split(list(SIZES.values()))
    scaled = zip(mel.SCALES.items(), parts, strict=True)
    return {name: part.numpy() * scale + centre for (name, (centre, scale)), part in scaled}


@pytest.mark.parametrize("samples", [1, 2, 1023, 1024, 1263, 1264, 8191, 10592, 36000])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-9), (np.float32, 2e-3)])
def test_equals_its_formula(samples: int, dtype: type, atol: float) -> None:
    x = music()[:samples]
    made, expected = groups_of(wave_of(x.astype(dtype))), reference(x)
    for name in SIZES:
        assert_allclose(made[name], expected[name], rtol=0, atol=atol, err_msg=name)


def test_scales_fit_the_groups() -> None:
    assert list(mel.SCALES) == list(SIZES)
    assert sum(SIZES.values()) == MelBaseline().block.dim == 400


def test_long_clips_go_in_pieces_that_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = wave_of(music())
    whole = MelBaseline().embed(wave)
    monkeypatch.setattr(mel, "FRAMES_AT_ONCE", 17)
    assert_allclose(MelBaseline().embed(wave), whole, atol=1e-10)


def test_ordinary_sound_is_of_order_one() -> None:
    parts = MelBaseline().embed(wave_of(music(6.0).astype("f4"))).split(list(SIZES.values()))
    for name, part in zip(SIZES, parts, strict=True):
        assert abs(float(part.mean())) < 2.5, name
        assert float(part.std(correction=0)) < 3, name


def test_values_are_pinned() -> None:
    """A change here changes every stored feature: make a new revision."""
    embedding = MelBaseline().embed(wave_of(music()))
    places = [0, 63, 64, 127, 128, 191, 192, 319, 320, 355, 356, 391, 392, 396, 397, 398, 399]
    assert_allclose(embedding[places], PINNED, atol=1e-4)


def test_channels_that_are_equal_change_nothing() -> None:
    x = music().astype("f4")
    assert torch.equal(MelBaseline().embed(wave_of(x)), MelBaseline().embed(wave_of(np.stack([x, x]))))


def test_same_input_same_bits() -> None:
    wave = wave_of(music().astype("f4"), 44_100)
    first = MelBaseline().embed(wave)
    with torch.inference_mode():
        assert torch.equal(first, MelBaseline().embed(wave))


def test_louder_shifts_the_levels_only() -> None:
    soft, loud = (groups_of(wave_of(gain * music())) for gain in (1, 2))
    assert_allclose(loud["mel_mean"] - soft["mel_mean"], 20 * math.log10(2), atol=0.05)
    assert_allclose(loud["level"] - soft["level"], 20 * math.log10(2), atol=0.01)
    for name in ("modulation", "chroma_mean", "crest", "kurtosis", "clipping"):
        assert_allclose(loud[name], soft[name], atol=0.05, err_msg=name)


def test_length_does_not_show() -> None:
    """The same steady sound for 6 s and for 12 s; its rhythms lie well inside their bands."""
    short, long = (groups_of(wave_of(music(seconds))) for seconds in (6.0, 12.0))
    for name in SIZES:
        assert np.abs(long[name] - short[name]).mean() < {"mel_mean": 0.5, "clipping": 0.5}.get(name, 0.15), name


def test_modulation_finds_the_rate() -> None:
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(t))
    edges_hz = mel.MODULATION_EDGES_HZ
    for rate_hz in (0.7, 2.0, 6.0):
        modulation = groups_of(wave_of(noise * (1 + 0.8 * np.sin(2 * np.pi * rate_hz * t))))["modulation"]
        band = int(np.searchsorted(edges_hz, rate_hz)) - 1
        assert (modulation.reshape(16, 8).argmax(1) == band).all()


def test_chroma_shows_octaves_together_and_detuning_apart() -> None:
    t = np.arange(2 * RATE_HZ) / RATE_HZ

    def peak(hz: float) -> int:
        return int(groups_of(wave_of(0.3 * np.sin(2 * np.pi * hz * t)))["chroma_mean"].argmax())

    assert [peak(hz) for hz in (440, 880, 1760)] == [0, 0, 0]
    assert peak(880 * 2 ** (1 / 12)) == 3
    assert peak(880 * 2 ** (1 / 36)) == 1
    assert peak(880 * 2 ** (-1 / 36)) == 35


def test_clipping_shows() -> None:
    clean, clipped = (groups_of(wave_of(np.clip(gain * music(), -0.5, 0.5))) for gain in (1, 10))
    assert clipped["clipping"] > clean["clipping"] + 3


@pytest.mark.parametrize("samples", [1, 2, 240, 1024, 20_000])
@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1e-6])
def test_silence_and_constants_are_finite(samples: int, level: float) -> None:
    x = torch.full((2, samples), level, requires_grad=True)
    embedding = MelBaseline().embed(Waveform(x, 44_100))
    embedding.square().sum().backward()
    assert embedding.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_gradient_is_the_slope() -> None:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(music()[None, :12_000]).requires_grad_()
    weights, direction = torch.from_numpy(rng.standard_normal(400)), torch.from_numpy(rng.standard_normal((1, 12_000)))

    def value(x: Float[torch.Tensor, "1 samples"]) -> Float[torch.Tensor, ""]:
        return weights @ MelBaseline().embed(Waveform(x, 32_000))

    (gradient,) = torch.autograd.grad(value(x), x)
    step = 1e-7
    with torch.no_grad():
        slope = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    assert_allclose(float((gradient * direction).sum()), float(slope), rtol=1e-4)
    assert (gradient != 0).double().mean() > 0.95


@pytest.mark.parametrize("path", [SignalPath(train16k=True), SignalPath(int16=True)])
def test_switches_change_the_numbers(path: SignalPath) -> None:
    wave = wave_of(music().astype("f4"), 44_100)
    assert not torch.equal(MelBaseline(path).embed(wave), MelBaseline().embed(wave))
    assert MelBaseline(path).provenance() != MelBaseline().provenance()


def test_provenance_is_json() -> None:
    provenance = MelBaseline(SignalPath(crop="random", seed=7)).provenance()
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["encoder"] == "mel_baseline"
    assert provenance["signal_path"] == {"crop": "random", "train16k": False, "int16": False, "seed": 7}
    assert "not a published TuneJury encoder" in MelBaseline().description


def test_ten_seconds_take_a_moment() -> None:
    wave = wave_of(music(10.0).astype("f4"))
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            start = time.perf_counter()
            MelBaseline().embed(wave)
            seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2  # 15 ms on an idle core; the slack is for crowded machines


def test_bases() -> None:
    assert_allclose(mel_basis(64, 1024, RATE_HZ), mel_filters(), atol=1e-12)
    assert_allclose(mel_basis(64, 1024, RATE_HZ).sum(1), 1, atol=0.1)
    assert_allclose(chroma_basis(8192, RATE_HZ).sum(1), 1)
    assert (chroma_basis(8192, RATE_HZ) > 0).any(1).all()
    for n_fft in (1024, 1025, 3000):  # the bands tile 0.5 to 50 Hz: nothing is lost, nothing counts twice
        basis = modulation_basis(mel.MODULATION_EDGES_HZ, n_fft, 100.0)
        assert_allclose(basis.sum(), 49.5, atol=100 / n_fft)
        assert (basis.sum(1) > 0).all()
