"""Damage: each rung does what its number says, measured on the sound itself."""

import itertools

import numpy as np
import pytest
from scipy.signal import hilbert

from feature_export.demo.config import DemoConfig
from feature_export.demo.damage import LADDERS, RUNGS, damage
from feature_export.demo.render import render
from feature_export.demo.song import draw_song
from feature_export.demo.takes import Take, draw_takes, play
from feature_export.demo.timbre import SAMPLE_RATE_HZ

EVERY_RUNG = [(kind, rung) for kind in LADDERS for rung in range(1, RUNGS + 1)]
RANDOM_KINDS = ("noise", "detune", "dropout")


@pytest.fixture(scope="module", params=[0, 5])
def clean(request):
    return render(draw_song(7, request.param), 3.0)


def power_db(samples):
    return 10 * np.log10(np.mean(samples**2))


def band_power(samples, low_hz, high_hz):
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ)
    return power[(hertz >= low_hz) & (hertz < high_hz)].sum()


@pytest.mark.parametrize(("kind", "rung"), EVERY_RUNG)
def test_damage_changes_the_sound_and_repeats_itself(clean, kind, rung):
    before = clean.copy()
    damaged = damage(clean, kind, rung, seed=3)
    assert damaged.shape == clean.shape
    assert np.abs(damaged).max() < 1
    assert not np.array_equal(damaged, clean)
    np.testing.assert_array_equal(damage(clean, kind, rung, seed=3), damaged)
    np.testing.assert_array_equal(clean, before)


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_the_seed_moves_damage_that_has_a_place(clean, kind):
    assert not np.array_equal(damage(clean, kind, 2, seed=1), damage(clean, kind, 2, seed=2))


@pytest.mark.parametrize("kind", ["noise", "clip", "dropout", "lowpass"])
def test_a_higher_rung_is_farther_from_the_clean_song(clean, kind):
    errors = [np.mean((damage(clean, kind, rung, seed=3) - clean) ** 2) for rung in range(1, RUNGS + 1)]
    assert np.all(np.diff(errors) > 0)


@pytest.mark.parametrize("rung", [1, 2, 3, 4])
def test_noise_has_its_nominal_ratio(clean, rung):
    noise = damage(clean, "noise", rung, seed=3) - clean
    assert power_db(clean) - power_db(noise) == pytest.approx(LADDERS["noise"][rung - 1], abs=0.1)
    assert abs(np.corrcoef(noise, clean)[0, 1]) < 0.02


def test_clipping_cuts_more_with_each_rung_and_keeps_loudness(clean):
    clips = [damage(clean, "clip", rung, seed=3) for rung in range(1, RUNGS + 1)]
    cut = [np.mean(np.abs(clip) > 0.999 * np.abs(clip).max()) for clip in clips]
    assert np.all(np.diff(cut) > 0)
    assert cut[-1] > 0.3
    for clip in clips:
        assert power_db(clip) == pytest.approx(power_db(clean), abs=1e-9)


@pytest.mark.parametrize("rung", [1, 2, 3, 4])
def test_clipping_cuts_at_its_share_of_the_peak(clean, rung):
    """Below the cut the wave is only scaled, so the scale can be read off there and the cut be undone."""
    clip = damage(clean, "clip", rung, seed=3)
    bound = LADDERS["clip"][rung - 1] * np.abs(clean).max()
    kept = (np.abs(clean) < bound) & (np.abs(clean) > bound / 2)
    scale = np.median(clip[kept] / clean[kept])
    np.testing.assert_allclose(clip / scale, np.clip(clean, -bound, bound), atol=1e-12)


@pytest.mark.parametrize("rung", [1, 2, 3, 4])
def test_low_pass_removes_what_is_above_and_keeps_what_is_below(clean, rung):
    cutoff_hz = LADDERS["lowpass"][rung - 1]
    damaged = damage(clean, "lowpass", rung, seed=3)
    above = (1.4 * cutoff_hz, SAMPLE_RATE_HZ)
    below = (0, 0.7 * cutoff_hz)
    # Eighth order falls 48 dB an octave, 23 dB at 1.4 times the cut-off; the slack is the clip's finite length.
    assert band_power(damaged, *above) < 10**-2.0 * band_power(clean, *above)
    assert band_power(damaged, *below) == pytest.approx(band_power(clean, *below), rel=0.02)


@pytest.mark.parametrize("rung", [1, 2, 3, 4])
def test_low_pass_halves_the_power_at_its_cut_off(rung):
    click = np.zeros(SAMPLE_RATE_HZ)
    click[0] = 1.0
    response = np.abs(np.fft.rfft(damage(click, "lowpass", rung, seed=3))) ** 2
    assert response[int(LADDERS["lowpass"][rung - 1])] == pytest.approx(0.5, abs=0.01)


def test_drop_outs_silence_their_share_and_lie_inside_each_other(clean):
    silent = [damage(clean, "dropout", rung, seed=3) == 0 for rung in range(1, RUNGS + 1)]
    for share, where in zip(LADDERS["dropout"], silent, strict=True):
        assert np.mean(where) == pytest.approx(share, abs=0.04)
    for inner, outer in itertools.pairwise(silent):
        assert np.mean(inner & outer) > 0.95 * np.mean(inner)


def test_drop_outs_leave_the_rest_alone(clean):
    damaged = damage(clean, "dropout", 2, seed=3)
    assert np.mean(np.isclose(damaged, clean, rtol=1e-9, atol=0)) > 0.75


@pytest.mark.parametrize("rung", [1, 2, 3, 4])
def test_detuning_swings_by_its_depth_around_the_right_pitch(rung):
    seconds = np.arange(4 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = 0.1 * np.sin(2 * np.pi * 1000 * seconds)
    damaged = damage(tone, "detune", rung, seed=3)
    phase = np.unwrap(np.angle(np.asarray(hilbert(damaged))))
    # The transform takes the clip for periodic: half a second at either end ripples from the seam.
    speed = (np.diff(phase) * SAMPLE_RATE_HZ / (2 * np.pi * 1000))[12_000:-12_000]
    depth = LADDERS["detune"][rung - 1]
    assert speed.max() - 1 == pytest.approx(depth, rel=0.05)
    assert 1 - speed.min() == pytest.approx(depth, rel=0.05)
    assert speed.mean() == pytest.approx(1, abs=0.2 * depth)


def test_a_take_is_its_damage_at_its_volume(clean):
    damaged = play(Take(song=0, gain_db=-6.0, kind="clip", rung=3, seed=9), clean)
    np.testing.assert_allclose(damaged, damage(clean, "clip", 3, seed=9) * 10**-0.3, rtol=1e-12)
    np.testing.assert_allclose(play(Take(song=0, gain_db=-6.0), clean), clean * 10**-0.3, rtol=1e-12)


def test_takes_are_distinct_start_clean_and_do_not_depend_on_the_size():
    config, larger = DemoConfig(damaged_per_song=20), DemoConfig(songs=285, damaged_per_song=20)
    takes = draw_takes(config, 5)
    assert takes == draw_takes(larger, 5)
    assert len({take.path for take in takes}) == 21
    assert (takes[0].system, takes[0].path) == ("clean", "song-0005/clean.wav")
    assert sorted((take.kind, take.rung) for take in takes[1:]) == sorted(EVERY_RUNG)
    assert all(-9 <= take.gain_db <= 0 for take in takes)
    assert len({take.gain_db for take in takes}) == 21


@pytest.mark.parametrize(
    ("kind", "rung", "message"),
    [
        ("nois", 1, r"kind: got 'nois', accepted are .*did you mean 'noise'"),
        ("noise", 0, r"rung: got 0, accepted are 1 to 4"),
        ("clip", 5, r"rung: got 5, accepted are 1 to 4"),
    ],
)
def test_refuses_unknown_kinds_and_rungs(kind, rung, message):
    # Past the annotations, as a caller without a type checker would call it.
    with pytest.raises(ValueError, match=message):
        getattr(damage, "__wrapped__", damage)(np.ones(100), kind, rung, seed=0)


def test_refuses_silence():
    with pytest.raises(ValueError, match="samples: expected sound, got silence only"):
        damage(np.zeros(100), "clip", 1, seed=0)
