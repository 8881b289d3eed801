"""MIDI to audio with the program FluidSynth: the sound, and so the score, depends on its soundfont."""

import hashlib
import os
import shutil
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FluidSynth"]

MAX_MIDI_BYTES = 16 << 20
MIN_S = 0.1
"""Of a file that it cannot read, it writes one buffer of silence, 1.5 ms."""
SHOWN = 300


@dataclass(frozen=True)
class FluidSynth:
    """Renders MIDI files.

    Published scores were made by FluidSynth 2.3.4 at 44.1 kHz, its own gain of 0.2, with FluidR3_GM.sf2.

    Attributes:
        soundfont: SoundFont 2 or 3 file.
        sample_rate_hz: Of the audio.
        gain: Master gain; more than the default can clip.
        program: What is run.
        timeout_s: A file that takes longer is given up.
    """

    soundfont: Path
    sample_rate_hz: int = 44_100
    gain: float = 0.2
    program: str = "fluidsynth"
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if shutil.which(self.program) is None:
            raise ValueError(f"program: {self.program!r} is not installed; for example: apt-get install fluidsynth")
        if not self.soundfont.is_file():
            raise ValueError(f"soundfont: {self.soundfont} is not a file")
        with self.soundfont.open("rb") as file:
            head = file.read(12)
        if (head[:4], head[8:]) != (b"RIFF", b"sfbk"):
            raise ValueError(f"soundfont: {self.soundfont} is not a SoundFont file")

    def identity(self) -> dict[str, Any]:
        """What makes its sound."""
        with self.soundfont.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "program": self._version(),
            "soundfont": self.soundfont.name,
            "soundfont_sha256": sha256,
            "sample_rate_hz": self.sample_rate_hz,
            "gain": self.gain,
        }

    def render(self, midi: Path, wav: Path) -> None:
        """Writes the audio of a MIDI file as 16-bit stereo.

        Raises:
            ValueError: Not a MIDI file, larger than 16 MiB, or it cannot be rendered within the time; says why.
        """
        _require_midi(midi)
        # Without a configuration file, which could change the sound; absolute paths, since a name may begin with "-".
        options = ["-f", os.devnull, "-n", "-i", "-q", "-T", "wav", "-O", "s16"]
        sound = ["-r", str(self.sample_rate_hz), "-g", str(self.gain), "-F", str(wav.absolute())]
        done = self._run([*options, *sound, str(self.soundfont.absolute()), str(midi.absolute())], midi)
        # It exits with 0 also where it could not read a file.
        if done.returncode or not _has_audio(wav):
            said = " ".join((done.stderr or done.stdout).split())[-SHOWN:]
            raise ValueError(f"{midi}: {self.program} made no audio of it (status {done.returncode}): {said}")

    def _run(self, arguments: list[str], midi: Path) -> subprocess.CompletedProcess[str]:
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
        try:
            return subprocess.run([self.program, *arguments], check=False, timeout=self.timeout_s, **quiet)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"{midi}: {self.program} took more than {self.timeout_s:g} s") from error

    def _version(self) -> str:
        said = self._run(["--version"], self.soundfont).stdout.split("\n")[0].split()
        return f"{Path(self.program).name} {said[-1] if said else 'of an unknown version'}"


def _require_midi(midi: Path) -> None:
    if (size := midi.stat().st_size) > MAX_MIDI_BYTES:
        raise ValueError(f"{midi}: {size} bytes, accepted are at most {MAX_MIDI_BYTES}")
    with midi.open("rb") as file:
        if file.read(4) != b"MThd":
            raise ValueError(f"{midi}: not a MIDI file")


def _has_audio(wav: Path) -> bool:
    try:
        with wave.open(str(wav)) as audio:
            return audio.getnframes() >= MIN_S * audio.getframerate()
    except (OSError, EOFError, wave.Error):
        return False
