"""Decoding: every accepted type, every refusal, and the switches of the signal path."""

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from jaxtyping import Float
from numpy.testing import assert_allclose

from feature_export import audio, decode
from feature_export.audio import AudioError, SignalPath, Waveform, load, mono, prepare

RATE_HZ = 48_000
SNDFILE = ["wav", "flac", "mp3", "ogg", "opus"]
FFMPEG = ["m4a", "mp4", "aac", "webm", "mkv"]
CODECS = {"webm": "libopus", "mkv": "flac", "wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame"}
MUXERS = {"m4a": "ipod", "aac": "adts", "mkv": "matroska"}


def tones(seconds: float = 1.0, channels: int = 2) -> Float[np.ndarray, "channels samples"]:
    """A sweep in each channel: any shift or exchange of channels shows."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.stack([0.4 * np.sin(2 * np.pi * (300 + 200 * c + 400 * t) * t) for c in range(channels)]).astype("f4")


class Pipe:
    """A file that ffmpeg cannot seek in, so headers keep what was written first."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def encode(target: Any, suffix: str, samples: Float[np.ndarray, "channels samples"], **options: str) -> None:
    """Writes samples with ffmpeg."""
    codec = CODECS.get(suffix, "aac")
    layout = "stereo" if len(samples) == 2 else "mono"
    sample_format = {"flac": "s16", "pcm_s16le": "s16", "libopus": "flt"}.get(codec, "fltp")
    with av.open(target, "w", format=MUXERS.get(suffix, suffix)) as container:
        stream: Any = container.add_stream(codec, rate=RATE_HZ, options=options)
        stream.layout, stream.format = layout, sample_format
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.rate, frame.pts = RATE_HZ, 0
        size = 0 if codec.startswith("pcm") else stream.codec_context.frame_size
        fit = av.AudioResampler(sample_format, layout, RATE_HZ, size or None)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def write(path: Path, samples: Float[np.ndarray, "channels samples"]) -> Path:
    """Writes samples in the type that the suffix names."""
    suffix = path.suffix[1:]
    if suffix in FFMPEG:
        encode(str(path), suffix, samples)
    elif suffix == "opus":
        soundfile.write(path, samples.T, RATE_HZ, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, samples.T, RATE_HZ)
    return path


def write_pipe(path: Path, samples: Float[np.ndarray, "channels samples"], **options: str) -> Path:
    """Writes samples as ffmpeg does to a pipe: the header cannot tell the length."""
    pipe = Pipe()
    encode(pipe, path.suffix[1:], samples, **options)
    path.write_bytes(pipe.data)
    return path


def declare(path: Path, data_bytes: int) -> Path:
    """Changes what a wav declares as the size of its audio."""
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", data_bytes)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", SNDFILE + FFMPEG)
def test_every_type_gives_the_samples_back(tmp_path: Path, suffix: str) -> None:
    expected = tones()
    wave = load(write(tmp_path / f"clip.{suffix}", expected))
    assert wave.sample_rate_hz == RATE_HZ
    assert wave.samples.dtype == torch.float32
    assert wave.samples.is_contiguous()
    made = wave.samples.numpy()
    assert made.shape[0] == 2
    assert abs(made.shape[1] - expected.shape[1]) <= 2048  # ends of lossy types are ragged
    delay = 1024 if suffix == "aac" else 0  # a raw stream cannot say that its first frame is padding
    starts = range(7990 + delay, 8011 + delay)
    error = [float(np.std(made[:, start : start + 32000] - expected[:, 8000:40000])) for start in starts]
    assert int(np.argmin(error)) == 10  # no sample early or late
    assert error[10] < (1e-4 if suffix in ("wav", "flac", "mkv") else 0.02)


@pytest.mark.parametrize("suffix", ["WAV", "M4A"])
def test_suffix_may_be_upper_case(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix.lower()}", tones())
    assert load(path.rename(tmp_path / f"clip.{suffix}")).samples.shape[0] == 2


@pytest.mark.parametrize("suffix", SNDFILE + FFMPEG)
def test_a_span_is_that_part_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix}", tones())
    part = load(path, (0.25, 0.75)).samples
    assert part.shape == (2, RATE_HZ // 2)
    assert_allclose(part, load(path).samples[:, RATE_HZ // 4 : RATE_HZ * 3 // 4], rtol=0, atol=1e-6)


def test_only_the_span_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[int] = []
    read = soundfile.SoundFile.read

    def counting(file: soundfile.SoundFile, count: int, **options: Any) -> Any:
        frames.append(count)
        return read(file, count, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    load(write(tmp_path / "clip.wav", tones()), (0.5, 0.6))
    assert frames == [RATE_HZ // 10]


@pytest.mark.parametrize("span_s", [(0.5, 1.5), (2.0, 3.0)])
@pytest.mark.parametrize("suffix", ["wav", "mkv"])
def test_a_span_outside_the_file(tmp_path: Path, suffix: str, span_s: tuple[float, float]) -> None:
    path = write(tmp_path / f"clip.{suffix}", tones())
    with pytest.raises(AudioError, match=rf"clip.{suffix}: span_s: .* reaches outside the file, which lasts 1 s"):
        load(path, span_s)


@pytest.mark.parametrize("span_s", [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_span_that_is_none(tmp_path: Path, span_s: tuple[float, float]) -> None:
    path = write(tmp_path / "clip.wav", tones())
    with pytest.raises(AudioError, match="expected 0 <= begin_s < end_s"):
        load(path, span_s)


@pytest.mark.parametrize("suffix", ["wav", "mkv"])
def test_a_span_between_two_samples(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix}", tones())
    with pytest.raises(AudioError, match="holds no samples"):
        load(path, (0.5, 0.500001))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nothing\.wav: no such file"):
        load(tmp_path / "nothing.wav")


def test_directory(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match=r"folder\.wav: is a directory"):
        load(tmp_path / "folder.wav")


def test_fifo_and_device_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    for name in ("pipe.wav", "zero.wav"):
        with pytest.raises(AudioError, match=f"{name}: is not a regular file"):
            load(tmp_path / name)


@pytest.mark.parametrize("name", ["clip.txt", "clip"])
def test_unsupported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"words")
    with pytest.raises(AudioError, match=r"unsupported file type .*, accepted are \.aac, \.flac, .*\.webm"):
        load(tmp_path / name)


@pytest.mark.parametrize("suffix", SNDFILE + FFMPEG)
@pytest.mark.parametrize("content", [b"", b"words, not sound" * 100, b"RIFF\xff\xff\xff\xffWAVE", b"fLaC", b"ID3"])
def test_not_audio(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=f"clip.{suffix}: .") as caught:
        load(path)
    assert str(caught.value).count("clip") == 1  # the reason is the same wherever the file lies


def test_truncated_wav(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.wav", tones())
    path.write_bytes(path.read_bytes()[:-2])
    assert soundfile.read(path)[0].shape == (RATE_HZ - 1, 2)  # the silence that must not pass
    with pytest.raises(AudioError, match="truncated: 192000 bytes of audio promised, 191998 are there"):
        load(path)
    with pytest.raises(AudioError, match="truncated"):
        load(path, (0.0, 0.1))


def test_wav_chunks_before_and_after_the_audio(tmp_path: Path) -> None:
    content = write(tmp_path / "clip.wav", tones()).read_bytes()
    at = content.index(b"data")
    odd = b"LIST\x05\x00\x00\x00datax\x00"  # of odd size, padded, with the name of the chunk in it
    (tmp_path / "clip.wav").write_bytes(content[:at] + odd + content[at:] + odd)
    assert load(tmp_path / "clip.wav").samples.shape == (2, RATE_HZ)
    (tmp_path / "clip.wav").write_bytes(content[:at] + odd + content[at:-2])
    with pytest.raises(AudioError, match="truncated"):
        load(tmp_path / "clip.wav")


@pytest.mark.parametrize("declared", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_wav_written_to_a_pipe(tmp_path: Path, declared: int) -> None:
    path = declare(write(tmp_path / "clip.wav", tones()), declared)
    whole = load(path).samples
    assert_allclose(whole, tones(), rtol=0, atol=1e-4)
    assert torch.equal(load(path, (0.25, 0.5)).samples, whole[:, RATE_HZ // 4 : RATE_HZ // 2])


@pytest.mark.parametrize(("suffix", "atol"), [("wav", 1e-4), ("flac", 1e-4)])
def test_ffmpeg_pipes(tmp_path: Path, suffix: str, atol: float) -> None:
    made = load(write_pipe(tmp_path / f"clip.{suffix}", tones())).samples
    assert_allclose(made, tones(), rtol=0, atol=atol)


def test_mp3_that_does_not_tell_its_length(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    loud_then_soft = rng.standard_normal((2, 4 * RATE_HZ)) * np.repeat([0.3, 1e-4], 2 * RATE_HZ)
    path = write_pipe(
        tmp_path / "clip.mp3", loud_then_soft.clip(-1, 1).astype("f4"), flags="+qscale", global_quality="472"
    )
    assert soundfile.info(path).frames < 3 * RATE_HZ  # the guess that must not decide
    assert load(path).samples.shape[1] == pytest.approx(4 * RATE_HZ, abs=4096)
    assert load(path, (3.0, 3.5)).samples.shape == (2, RATE_HZ // 2)


def test_what_libsndfile_loses_ffmpeg_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsndfile returns 9,129,710 of the 9,135,516 samples of northerners.ogg in Debian's wesnoth-1.16-music."""
    path = tmp_path / "clip.wav"
    whole = np.linspace(-0.5, 0.5, 4_000, dtype=np.float32)
    soundfile.write(path, whole, 16_000, subtype="FLOAT")
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda file, frames, **options: read(file, frames - 7, **options))
    assert np.array_equal(load(path).samples.numpy(), whole[None])
    assert np.array_equal(load(path, (0.1, 0.2)).samples.numpy(), whole[None, 1_600:3_200])


def test_truncated_mp3(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "clip.mp3", tones())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"truncated: 48000 samples were promised, [12][0-9]{4} are there"):
        load(path)
    capfd.readouterr()  # libmpg123 warns on its own


def test_truncated_flac(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.flac", tones())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"clip\.flac: .*lost sync"):
        load(path)


@pytest.mark.parametrize("suffix", ["m4a", "mp4"])
def test_truncated_between_packets(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    encode_with_index_first(path, tones(3.0))
    with av.open(str(path)) as container:
        ends = [packet.pos + packet.size for packet in container.demux() if packet.pos]
    path.write_bytes(path.read_bytes()[: ends[len(ends) // 2]])
    with pytest.raises(AudioError, match=r"truncated: 3 s were promised, 1\.[45]\d+ s are there"):
        load(path)
    assert load(path, (0.0, 1.0)).samples.shape == (2, RATE_HZ)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(AudioError, match="Invalid data"):
        load(path)
    assert load(path, (0.0, 1.0)).samples.shape == (2, RATE_HZ)  # nothing after the span is decoded


def encode_with_index_first(path: Path, samples: Float[np.ndarray, "channels samples"]) -> None:
    with av.open(str(path), "w", format="mp4", container_options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.rate, frame.pts = RATE_HZ, 0
        fit = av.AudioResampler("fltp", "stereo", RATE_HZ, 1024)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_zero_length(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"clip.{suffix}", np.zeros((0, 2)), RATE_HZ)
    with pytest.raises(AudioError, match=r"zero length|clip\.flac: "):
        load(tmp_path / f"clip.{suffix}")


def test_not_finite(tmp_path: Path) -> None:
    samples = tones()
    samples[0, 5], samples[1, 7:9] = np.nan, np.inf
    soundfile.write(tmp_path / "clip.wav", samples.T, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"clip\.wav: 3 of 96000 samples are not finite"):
        load(tmp_path / "clip.wav")


def test_too_many_channels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", np.zeros((100, 33)), RATE_HZ)
    with pytest.raises(AudioError, match="33 channels, accepted are at most 32"):
        load(tmp_path / "clip.wav")
    soundfile.write(tmp_path / "clip.wav", np.zeros((100, 32)), RATE_HZ)
    assert load(tmp_path / "clip.wav").samples.shape == (32, 100)


@pytest.mark.parametrize("suffix", ["wav", "m4a", "mkv"])
def test_too_long(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_DURATION_S", 0.5)
    path = write(tmp_path / f"clip.{suffix}", tones())
    with pytest.raises(AudioError, match=r"lasts [0-9.]+ s, accepted are at most 0\.5 s"):
        load(path)


def test_too_long_is_seen_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "clip.wav", np.zeros(10802), 1, subtype="PCM_U8")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", refuse)
    with pytest.raises(AudioError, match="lasts 10802 s, accepted are at most 10800 s"):
        load(tmp_path / "clip.wav")


@pytest.mark.parametrize("suffix", ["wav", "mkv"])
def test_too_many_samples(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_SAMPLES", 2 * RATE_HZ - 1)
    path = write(tmp_path / f"clip.{suffix}", tones())
    with pytest.raises(AudioError, match="samples of 2 channels, accepted are at most 95999 together"):
        load(path)


def test_video_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="holds no audio stream"):
        load(path)


def test_a_playlist_in_disguise_opens_nothing(tmp_path: Path) -> None:
    write(tmp_path / "secret.flac", tones())
    path = tmp_path / "clip.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.flac\n")
    with av.open(str(path)) as container:  # what ffmpeg does when it may guess
        assert container.streams.audio[0].codec_context.name == "flac"
    with pytest.raises(AudioError, match=r"clip\.mp4: "):
        load(path)


def test_mono_is_the_mean() -> None:
    assert mono(Waveform(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), 8000)).tolist() == [2.0, 4.0]


def test_prepare_resamples_the_mean(tmp_path: Path) -> None:
    wave = load(write(tmp_path / "clip.wav", tones()))
    samples = prepare(wave, 24_000, SignalPath())
    assert torch.equal(samples, audio.resample(mono(wave), RATE_HZ, 24_000))
    assert samples.shape == (24_000,)


def test_train16k_removes_what_16_khz_cannot_hold() -> None:
    tone = torch.sin(2 * np.pi * 10_000 * torch.arange(RATE_HZ) / RATE_HZ)[None]
    direct, by_16k = (prepare(Waveform(tone, RATE_HZ), RATE_HZ, SignalPath(train16k=on)) for on in (False, True))
    assert float(direct[500:-500].abs().max()) > 0.99
    assert float(by_16k[500:-500].abs().max()) < 0.01


def test_int16_truncates_towards_zero_and_clips() -> None:
    step = 1 / 32767
    samples = torch.tensor([[0.0, 0.9 * step, -0.9 * step, 1.5 * step, -1.5 * step, 0.5, 3.0, -3.0]])
    made = prepare(Waveform(samples, 8000), 8000, SignalPath(int16=True))
    expected = np.trunc(samples[0].clamp(-1, 1).numpy() * np.float32(32767)).astype("i2") / np.float32(32767)
    assert made.tolist() == expected.tolist()
    assert_allclose(made * 32767, [0, 0, 0, 1, -1, 16383, 32767, -32767], rtol=1e-6)


def test_int16_equals_integers_for_any_sample() -> None:
    samples = torch.from_numpy(np.random.default_rng(0).uniform(-1.2, 1.2, (1, 100_000)).astype("f4"))
    made = prepare(Waveform(samples, 8000), 8000, SignalPath(int16=True))
    integers = (samples[0].clamp(-1, 1).numpy() * np.float32(32767)).astype("i2")
    assert np.array_equal(made.numpy(), integers / np.float32(32767))


def test_int16_gradient_passes_the_rounding_but_not_the_clipping() -> None:
    samples = torch.tensor([[0.3, -0.7, 1.5, -1.5]], requires_grad=True)
    prepare(Waveform(samples, 8000), 8000, SignalPath(int16=True)).sum().backward()
    assert samples.grad is not None
    assert samples.grad.tolist() == [[1.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize("train16k", [False, True])
def test_prepare_has_a_gradient(train16k: bool) -> None:
    samples = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 30))).requires_grad_()
    path = SignalPath(train16k=train16k)
    assert torch.autograd.gradcheck(lambda x: prepare(Waveform(x, 32_000), 24_000, path), (samples,))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"crop": "midle"}, r"crop: got 'midle', accepted are .*did you mean 'middle'"),
        ({"train16k": "yes"}, "train16k: expected true or false, got 'yes'"),
        ({"int16": 1}, "int16: expected true or false, got 1"),
        ({"seed": -1}, "seed: expected a whole number from 0 to 4294967295, got -1"),
        ({"seed": True}, "seed: expected a whole number"),
        ({"trian16k": True}, r"signal_path: got 'trian16k', accepted are .*did you mean 'train16k'"),
    ],
)
def test_a_switch_that_is_not_one(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignalPath.of(switches)


def test_a_switch_given_in_code_is_checked_too() -> None:
    with pytest.raises((ValueError, TypeError), match="midle"):  # whichever check comes first
        SignalPath(crop="midle")  # pyright: ignore[reportArgumentType]


def test_reading_leaves_the_file_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.wav", tones())
    shutil.copy(path, tmp_path / "copy.wav")
    load(path).samples.zero_()
    assert path.read_bytes() == (tmp_path / "copy.wav").read_bytes()
