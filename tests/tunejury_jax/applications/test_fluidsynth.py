"""MIDI to audio: the real program where it is installed, and a stand-in for what it does and fails to do."""

import hashlib
import itertools
import json
import os
import shutil
import stat
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from midi_factory import midi

from tunejury_jax.applications.release.fluidsynth import FluidSynth

SOUNDFONTS = tuple(Path("/usr/share/sounds/sf2").glob("TimGM6mb.sf2"))
installed = pytest.mark.skipif(
    not (shutil.which("fluidsynth") and SOUNDFONTS),
    reason="needs the programs of: apt-get install fluidsynth timgm6mb-soundfont",
)

# Records how it was called, and does as MODE says.
STAND_IN = """#!{python}
import json, os, sys, time, wave
arguments = sys.argv[1:]
if arguments == ["--version"]:
    print("FluidSynth runtime version 9.8.7")
    sys.exit()
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(arguments) + "\\n")
mode = os.environ["MODE"]
if mode == "slow":
    time.sleep(30)
if mode in ("audio", "short", "crash"):
    with wave.open(arguments[arguments.index("-F") + 1], "w") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes(bytes(256 if mode == "short" else 40_000))
if mode == "rubbish":
    open(arguments[arguments.index("-F") + 1], "w").write("no audio")
print("fluidsynth: error: it is like that", file=sys.stderr)
sys.exit(mode == "crash")
"""


@pytest.fixture
def soundfont(tmp_path: Path) -> Path:
    (tmp_path / "tiny.sf2").write_bytes(b"RIFF\0\0\0\0sfbk and more")
    return tmp_path / "tiny.sf2"


@pytest.fixture
def song(tmp_path: Path) -> Path:
    (tmp_path / "-song $(touch x).mid").write_bytes(midi())
    return tmp_path / "-song $(touch x).mid"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    path = tmp_path / "bin" / "fluidsynth"
    path.parent.mkdir()
    path.write_text(STAND_IN.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("MODE", "audio")
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return str(path)


def test_how_the_program_is_called(program: str, soundfont: Path, song: Path, tmp_path: Path) -> None:
    FluidSynth(soundfont, sample_rate_hz=22_050, gain=0.5).render(song, tmp_path / "out.wav")
    (arguments,) = map(json.loads, (tmp_path / "calls").read_text().splitlines())
    assert arguments[-2:] == [str(soundfont), str(song)]
    given = dict(itertools.pairwise(arguments))
    assert (given["-r"], given["-g"], given["-f"], given["-F"]) == ("22050", "0.5", os.devnull, f"{tmp_path}/out.wav")
    assert {"-n", "-i"} <= set(arguments)
    assert not (tmp_path / "x").exists()


def test_names_that_begin_with_a_dash_are_no_options(
    monkeypatch: pytest.MonkeyPatch, program: str, soundfont: Path, song: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    FluidSynth(soundfont).render(Path(song.name), Path("-out.wav"))
    arguments = json.loads((tmp_path / "calls").read_text())
    assert [each for each in arguments if song.name in each or "out.wav" in each] == [f"{tmp_path}/-out.wav", str(song)]


def test_what_makes_its_sound_is_known(program: str, soundfont: Path) -> None:
    assert FluidSynth(soundfont).identity() == {
        "program": "fluidsynth 9.8.7",
        "soundfont": "tiny.sf2",
        "soundfont_sha256": hashlib.sha256(soundfont.read_bytes()).hexdigest(),
        "sample_rate_hz": 44_100,
        "gain": 0.2,
    }


@pytest.mark.parametrize("mode", ["nothing", "short", "rubbish", "crash"])
def test_a_file_without_audio_is_said(
    monkeypatch: pytest.MonkeyPatch, program: str, soundfont: Path, song: Path, tmp_path: Path, mode: str
) -> None:
    monkeypatch.setenv("MODE", mode)
    with pytest.raises(ValueError, match=r"\.mid: fluidsynth made no audio of it \(status [01]\): .*it is like that"):
        FluidSynth(soundfont).render(song, tmp_path / "out.wav")


def test_a_file_that_takes_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch, program: str, soundfont: Path, song: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODE", "slow")
    with pytest.raises(ValueError, match=r"\.mid: fluidsynth took more than 0\.3 s"):
        FluidSynth(soundfont, timeout_s=0.3).render(song, tmp_path / "out.wav")


def test_what_is_not_midi_is_not_given_to_the_program(program: str, soundfont: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mid").write_text("not MIDI")
    with pytest.raises(ValueError, match=r"text\.mid: not a MIDI file"):
        FluidSynth(soundfont).render(tmp_path / "text.mid", tmp_path / "out.wav")
    os.truncate(tmp_path / "text.mid", (16 << 20) + 1)
    with pytest.raises(ValueError, match="bytes, accepted are at most 16777216"):
        FluidSynth(soundfont).render(tmp_path / "text.mid", tmp_path / "out.wav")
    assert not (tmp_path / "calls").exists()


def test_a_missing_program_or_soundfont_is_said(program: str, soundfont: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="program: 'fluidsinth' is not installed; for example: apt-get install"):
        FluidSynth(soundfont, program="fluidsinth")
    with pytest.raises(ValueError, match=r"soundfont: .*none\.sf2 is not a file"):
        FluidSynth(tmp_path / "none.sf2")
    (tmp_path / "song.sf2").write_bytes(midi())
    with pytest.raises(ValueError, match=r"soundfont: .*song\.sf2 is not a SoundFont file"):
        FluidSynth(tmp_path / "song.sf2")


def heard(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).astype(np.float64)


@installed
@pytest.mark.parametrize("rate_hz", [22_050, 44_100])
def test_the_real_program_plays_the_note(tmp_path: Path, song: Path, rate_hz: int) -> None:
    synthesiser = FluidSynth(SOUNDFONTS[0], rate_hz)
    synthesiser.render(song, tmp_path / "a.wav")
    synthesiser.render(song, tmp_path / "b.wav")
    sound = heard(tmp_path / "a.wav")
    np.testing.assert_array_equal(sound, heard(tmp_path / "b.wav"))
    assert len(sound) > rate_hz
    spectrum = np.abs(np.fft.rfft(sound[: rate_hz // 2].mean(axis=1), 4 * rate_hz))
    middle_c = slice(4 * 255, 4 * 268)
    beside = np.r_[4 * 150 : 4 * 240, 4 * 285 : 4 * 480]
    assert spectrum[middle_c].max() > 5 * spectrum[beside].max()


@installed
def test_the_real_program_is_quieter_with_less_gain(tmp_path: Path, song: Path) -> None:
    power = []
    for gain in (0.1, 0.2):
        FluidSynth(SOUNDFONTS[0], gain=gain).render(song, tmp_path / f"{gain}.wav")
        power.append(np.sqrt(np.square(heard(tmp_path / f"{gain}.wav")).mean()))
    assert power[1] / power[0] == pytest.approx(2, rel=0.05)


@installed
def test_the_real_program_on_damaged_midi(tmp_path: Path) -> None:
    (tmp_path / "broken.mid").write_bytes(midi()[:14] + b"junk" * 5)
    with pytest.raises(ValueError, match=r"broken\.mid: fluidsynth made no audio of it"):
        FluidSynth(SOUNDFONTS[0]).render(tmp_path / "broken.mid", tmp_path / "out.wav")


@installed
def test_the_real_programs_version_is_recorded() -> None:
    assert FluidSynth(SOUNDFONTS[0]).identity()["program"].startswith("fluidsynth 2.")
