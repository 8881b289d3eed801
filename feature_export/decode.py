"""Decoders: from a file, or a span of it, to float32 samples at the file's own rate.

libsndfile reads wav, flac, mp3, ogg and opus and seeks to the sample; ffmpeg (PyAV) reads m4a, mp4, webm, mkv and
aac from the start. Two silences of libsndfile are turned into decisions here:

* It returns what is left of a truncated wav without a word, so the size its header promises is compared first.
* Where a header does not tell the length (a wav or flac written to a pipe, an mp3 without a Xing tag) it guesses and
  reads no further than its guess. Those files go to ffmpeg, which reads to the end.
"""

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
from jaxtyping import Float

__all__ = ["ACCEPTED", "MAX_CHANNELS", "MAX_DURATION_S", "MAX_SAMPLES", "AudioError", "Span", "decode"]

Span = tuple[float, float]

MAX_DURATION_S = 3 * 3600.0
MAX_CHANNELS = 32
MAX_SAMPLES = 1 << 31
"""Of all channels together: 8 GiB of float32, three hours of stereo at 96 kHz."""

_SNDFILE = (".wav", ".flac", ".mp3", ".ogg", ".opus")
# The demuxer is named, never guessed from content: a guess may be a playlist, which makes ffmpeg open other files.
_DEMUXERS = {suffix: suffix[1:] for suffix in (".aac", ".flac", ".mp3", ".ogg", ".wav")} | {
    ".m4a": "mov",
    ".mp4": "mov",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".opus": "ogg",
}
ACCEPTED = tuple(sorted(_DEMUXERS))

_UNTOLD_BYTES = (0, 0x7FFFF000, 0xFFFFFFFF)  # what writers to a pipe declare: several, sox, ffmpeg
_MP3_SLACK = 2 * 1152  # encoders disagree whether the frame that holds the Xing tag counts
_MP3_WARM_UP = 32 * 1152  # a frame needs bits of frames before it; libsndfile seeks back by too few
_TOLD_BY_STREAM = ("mov",)  # elsewhere a stream's duration is absent or guessed from the bit rate
_STREAM_SLACK_S = 0.1


class AudioError(ValueError):
    """One audio file that cannot be used; the message has its path and the reason."""


def decode(path: Path, span_s: Span | None) -> tuple[Float[np.ndarray, "channels samples"], int]:
    """Decodes a file, or a span of it in seconds, to samples and sampling rate in Hz.

    Raises:
        AudioError: Not a format of `ACCEPTED`, truncated, over a limit, empty, or shorter than the span.
    """
    suffix = path.suffix.lower()
    if suffix not in ACCEPTED:
        raise AudioError(f"unsupported file type {path.suffix!r}, accepted are {', '.join(ACCEPTED)}")
    if span_s is not None and not 0 <= span_s[0] < span_s[1] < float("inf"):
        raise AudioError(f"span_s: expected 0 <= begin_s < end_s, got {span_s}")
    by_sndfile = suffix in _SNDFILE and _tells_length(path)
    samples, sample_rate_hz = (_by_sndfile if by_sndfile else _by_ffmpeg)(path, span_s)
    if not samples.size:
        raise AudioError("zero length: holds no samples" if span_s is None else f"span_s: {span_s} holds no samples")
    return samples, sample_rate_hz


def _by_sndfile(path: Path, span_s: Span | None) -> tuple[Float[np.ndarray, "channels samples"], int]:
    with soundfile.SoundFile(path) as file:
        _check_size(file.frames, file.samplerate, file.channels)
        start, stop = _frames(span_s, file.samplerate, file.frames)
        _check_span(span_s, stop, file.frames, file.samplerate)
        warm_up = min(start, _MP3_WARM_UP) if file.format == "MP3" else 0
        file.seek(start - warm_up)
        samples = file.read(warm_up + stop - start, dtype="float32", always_2d=True)[warm_up:]
        slack = _MP3_SLACK if file.format == "MP3" else 0
        if len(samples) >= stop - start - slack:
            return np.ascontiguousarray(samples.T), file.samplerate
    return _second_opinion(path, span_s, stop - start)


def _second_opinion(
    path: Path, span_s: Span | None, promised: int
) -> tuple[Float[np.ndarray, "channels samples"], int]:
    """libsndfile came up short: it loses samples of some whole Ogg files, which ffmpeg reads to the end."""
    samples, sample_rate_hz = _by_ffmpeg(path, span_s)
    if samples.shape[1] < promised:
        raise AudioError(f"truncated: {promised} samples were promised, {samples.shape[1]} are there")
    return samples, sample_rate_hz


def _by_ffmpeg(path: Path, span_s: Span | None) -> tuple[Float[np.ndarray, "channels samples"], int]:
    # An absolute path cannot be taken for a protocol such as `concat:`.
    with av.open(str(path.resolve()), format=_DEMUXERS[path.suffix.lower()]) as container:
        if not container.streams.audio:
            raise AudioError("holds no audio stream")
        stream = container.streams.audio[0]
        told_s = _told_duration_s(stream) if container.format.name.split(",")[0] in _TOLD_BY_STREAM else None
        _check_size(round((told_s or 0) * stream.rate), stream.rate, stream.channels)
        samples, sample_rate_hz, end = _collect(_planes(container.decode(stream)), span_s)
    if span_s is None and told_s and end < (told_s - _STREAM_SLACK_S) * sample_rate_hz:
        raise AudioError(f"truncated: {told_s:g} s were promised, {end / sample_rate_hz:g} s are there")
    return samples, sample_rate_hz


def _told_duration_s(stream: Any) -> float | None:
    return float(stream.duration * stream.time_base) if stream.duration else None


def _planes(frames: Iterator[av.AudioFrame]) -> Iterator[tuple[Float[np.ndarray, "channels samples"], int]]:
    to_float = av.AudioResampler(format="fltp")
    for frame in itertools.chain(frames, (None,)):  # None drains what the converter holds back
        for plane in to_float.resample(frame):
            yield plane.to_ndarray(), plane.sample_rate


def _collect(
    planes: Iterator[tuple[Float[np.ndarray, "channels _"], int]], span_s: Span | None
) -> tuple[Float[np.ndarray, "channels samples"], int, int]:
    """Joins what falls into the span; also returns the sampling rate and how many samples were decoded."""
    kept, end, sample_rate_hz = [], 0, 1
    for plane, sample_rate_hz in planes:
        begin, end = end, end + plane.shape[1]
        _check_size(end, sample_rate_hz, plane.shape[0])
        start, stop = _frames(span_s, sample_rate_hz, end)
        kept.append(plane[:, max(start - begin, 0) : max(stop - begin, 0)])
        if span_s is not None and end >= stop:
            break
    _check_span(span_s, _frames(span_s, sample_rate_hz, end)[1], end, sample_rate_hz)
    return (np.concatenate(kept, axis=1) if kept else np.zeros((1, 0), np.float32)), sample_rate_hz, end


def _frames(span_s: Span | None, sample_rate_hz: int, frames: int) -> tuple[int, int]:
    return (0, frames) if span_s is None else (round(span_s[0] * sample_rate_hz), round(span_s[1] * sample_rate_hz))


def _check_span(span_s: Span | None, stop: int, frames: int, sample_rate_hz: int) -> None:
    if stop > frames:
        raise AudioError(f"span_s: {span_s} reaches outside the file, which lasts {frames / sample_rate_hz:g} s")


def _check_size(frames: int, sample_rate_hz: int, channels: int) -> None:
    if channels > MAX_CHANNELS:
        raise AudioError(f"{channels} channels, accepted are at most {MAX_CHANNELS}")
    if frames > MAX_DURATION_S * sample_rate_hz:
        raise AudioError(f"lasts {frames / sample_rate_hz:g} s, accepted are at most {MAX_DURATION_S:g} s")
    if frames * channels > MAX_SAMPLES:
        raise AudioError(f"{frames} samples of {channels} channels, accepted are at most {MAX_SAMPLES} together")


def _tells_length(path: Path) -> bool:
    """Whether the header tells how much audio follows; raises for a wav that promises more bytes than there are."""
    with path.open("rb") as file:
        head = file.read(26)
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return _wav_tells_length(file, path.stat().st_size)
        if head[:4] == b"fLaC":  # STREAMINFO ends in 36 bits of sample count and a checksum; 0 is "not known"
            return int.from_bytes(head[18:26]) & ((1 << 36) - 1) > 0
        return head[:4] in (b"OggS", b"RF64", b"RIFX") or _mp3_tells_length(file, head)


def _wav_tells_length(file: BinaryIO, file_bytes: int) -> bool:
    offset = 12
    while offset + 8 <= file_bytes:
        file.seek(offset)
        name, declared = struct.unpack("<4sI", file.read(8))
        offset += 8
        if name == b"data":
            if declared not in _UNTOLD_BYTES and declared > file_bytes - offset:
                raise AudioError(f"truncated: {declared} bytes of audio promised, {file_bytes - offset} are there")
            return declared not in _UNTOLD_BYTES
        offset += declared + declared % 2
    return True


def _mp3_tells_length(file: BinaryIO, head: bytes) -> bool:
    id3_bytes = 0
    if head[:3] == b"ID3":
        id3_bytes = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(id3_bytes)
    first_frame = file.read(2048)
    tag = max(first_frame.find(b"Xing"), first_frame.find(b"Info"))
    return 0 <= tag < len(first_frame) - 8 and bool(first_frame[tag + 7] & 1)  # flag 1: the frame count is there
