"""Songs: the same whenever they are made, in key, in tune, level, and described by what can be heard."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from feature_export.demo.draws import Use, stream
from feature_export.demo.drums import beat
from feature_export.demo.notes import Line, bass_line, chord_line, drum_onsets, lead_line
from feature_export.demo.render import LEVEL, PEAK, render
from feature_export.demo.song import SCALES, describe, draw_song
from feature_export.demo.timbre import SAMPLE_RATE_HZ, TIMBRES, sing

DURATION_S = 2.0


@pytest.fixture(scope="module")
def songs():
    return [draw_song(7, index) for index in range(300)]


def spectrum_db(samples):
    """Power a bin in dB relative to the strongest, bins 1 Hz apart for one second of sound."""
    power = np.abs(np.fft.rfft(samples * np.blackman(len(samples)))) ** 2
    return 10 * np.log10(power / power.max() + 1e-20)


def test_songs_do_not_depend_on_the_order_of_drawing(songs):
    assert [draw_song(7, index) for index in reversed(range(300))] == songs[::-1]


def test_rendering_does_not_depend_on_what_was_rendered_before(songs):
    first = [render(song, DURATION_S) for song in songs[:4]]
    for song, samples in zip(songs[3::-1], first[::-1], strict=True):
        np.testing.assert_array_equal(render(song, DURATION_S), samples)


def test_index_seed_and_use_each_give_other_draws(songs):
    assert len(set(songs)) == len(songs)
    assert draw_song(8, 0) != songs[0]
    draws = {stream(seed, index, use).random() for seed, index, use in itertools.product((0, 1), (0, 1), Use)}
    assert len(draws) == 4 * len(Use)


def test_songs_are_level_and_never_clip(songs):
    for song in songs[:24]:
        samples = render(song, DURATION_S)
        assert samples.shape == (DURATION_S * SAMPLE_RATE_HZ,)
        assert abs(20 * np.log10(np.sqrt(np.mean(samples**2)) / LEVEL)) < 1
        assert np.abs(samples).max() < PEAK
        assert samples[0] == samples[-1] == 0


def test_a_song_starts_the_same_at_any_length(songs):
    """Notes, not samples: levels are set over the whole clip."""
    short, long = (lead_line(songs[0], duration_s) for duration_s in (2.0, 6.0))
    np.testing.assert_array_equal(short.pitches, long.pitches[:, : short.pitches.shape[1]])
    np.testing.assert_array_equal(short.onsets_s, long.onsets_s[: len(short.onsets_s)])


@pytest.mark.parametrize("part", [lead_line, chord_line, bass_line])
def test_every_note_is_in_key_and_time_begins_at_0(songs, part):
    for song in songs:
        line = part(song, 6.0)
        assert set(((line.pitches - song.tonic) % 12).ravel()) <= set(SCALES[song.mode])
        assert line.onsets_s[0] == 0
        assert np.all(np.diff(line.onsets_s) > 0)
        assert line.onsets_s[-1] < 6.0


def test_registers_do_not_overlap_in_the_mean(songs):
    means = {"low": [], "high": []}
    for song in songs:
        means[song.register].append(lead_line(song, 6.0).pitches.mean())
    assert max(means["low"]) < min(means["high"])


@pytest.mark.parametrize("name", TIMBRES)
def test_instruments_are_in_tune(name):
    """The strongest line of a note lies within its spread (or 1 Hz) of its frequency, or of a harmonic."""
    samples = sing(Line(np.zeros(1), np.array([[69.0]])), TIMBRES[name], SAMPLE_RATE_HZ)
    strongest_hz = int(np.argmax(spectrum_db(samples)))
    assert abs(strongest_hz - 440) <= max(1, 440 * TIMBRES[name].spread_cents / 1200)


@pytest.mark.parametrize("midi", [40.0, 69.0, 96.0])
def test_bright_notes_have_no_folded_harmonics(midi):
    samples = sing(Line(np.zeros(1), np.array([[midi]])), TIMBRES["bright"], SAMPLE_RATE_HZ)
    level_db = spectrum_db(samples)
    hertz = np.arange(len(level_db))
    fundamental_hz = 440 * 2 ** ((midi - 69) / 12)
    off_hz = np.abs(hertz - fundamental_hz * np.rint(hertz / fundamental_hz))
    assert level_db[(off_hz > 30) | (hertz < 30)].max() < -50
    assert np.sum(level_db[off_hz < 1] > -40) >= 5


def test_notes_begin_and_end_silently():
    line = Line(np.array([0.0, 0.5]), np.array([[60.0, 67.0]]))
    samples = sing(line, TIMBRES["bright"], SAMPLE_RATE_HZ)
    assert samples[0] == samples[SAMPLE_RATE_HZ // 2] == 0
    assert abs(samples[-1]) < 0.01 * np.abs(samples).max()


def test_plucked_notes_fade_and_bright_ones_last():
    def fall_db(name):
        samples = sing(Line(np.zeros(1), np.array([[69.0]])), TIMBRES[name], SAMPLE_RATE_HZ)
        early, late = (np.mean(samples[begin : begin + 2400] ** 2) for begin in (2400, 16800))
        return 10 * np.log10(early / late)

    assert fall_db("plucked") > 20
    assert abs(fall_db("bright")) < 0.5


def test_drums_sound_from_their_onsets_and_stop_at_the_end():
    samples = beat({"snare": np.array([0.5, 0.95])}, SAMPLE_RATE_HZ)
    assert samples.shape == (SAMPLE_RATE_HZ,)
    assert not samples[: SAMPLE_RATE_HZ // 2].any()
    assert samples[SAMPLE_RATE_HZ // 2 :][:100].any()
    assert samples[-100:].any()


def test_only_songs_without_drums_have_no_hits(songs):
    for song in songs[:50]:
        assert bool(drum_onsets(song, DURATION_S)) == (song.drums != "none")


@pytest.mark.parametrize(
    ("holds", "share"),
    [
        (lambda song: song.pace == "fast", 1 / 2),
        (lambda song: song.drums == "none", 1 / 2),
        (lambda song: song.register == "high", 1 / 2),
        (lambda song: song.lead == "plucked", 1 / 3),
        (lambda song: song.mode == "minor", 1 / 2),
    ],
)
def test_attributes_have_their_shares(songs, holds, share):
    assert binomtest(sum(map(holds, songs)), len(songs), share).pvalue > 1e-4


@pytest.mark.parametrize("wording", [0, 1])
def test_descriptions_tell_apart_exactly_what_is_audible(songs, wording):
    by_words = {}
    for song in songs:
        by_words.setdefault(describe(song, wording), set()).add(song.audible)
    assert all(len(audible) == 1 for audible in by_words.values())
    assert len(by_words) == len({song.audible for song in songs}) == 24


def test_wordings_differ_and_repeat(songs):
    assert describe(songs[0], 0) != describe(songs[0], 1)
    assert describe(songs[0], 5) == describe(songs[0], 1)


def test_refuses_a_clip_too_short_to_fade(songs):
    with pytest.raises(ValueError, match=r"duration_s: expected at least 0\.1 s, got 0\.05"):
        render(songs[0], 0.05)


@pytest.mark.parametrize(("seed", "index", "message"), [(-1, 0, "seed: .* got -1"), (0, -2, "index: .* got -2")])
def test_refuses_negative_seeds_and_indices(seed, index, message):
    with pytest.raises(ValueError, match=message):
        draw_song(seed, index)
