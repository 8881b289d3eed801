"""Real music through networks of the published sizes, with random weights: what must hold whatever they learned."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from closeness import assert_close

from benchmarks.random_weights import write_weights
from feature_export.audio import SignalPath, Waveform, load
from feature_export.encoders import Stack, WindowedEncoder, load_stack

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "audio"
GAMES = Path("/usr/share/games/wesnoth/1.16/data/core/music")
BATCH = 1e-5

pytestmark = [
    pytest.mark.full_size(reason="1.4 billion parameters, 6 GB and some minutes"),
    pytest.mark.skipif(not CLIPS.is_dir(), reason="the published clips are not here: ../shared/data/audio"),
]


@pytest.fixture(scope="module", params=["clap", "mert", "muq"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One family at a time: together they do not fit small machines."""
    root = tmp_path_factory.mktemp("weights")
    write_weights(root, tiny=False, families=(request.param,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(root))
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        yield load_stack([request.param], SignalPath())
        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Waveform]:
    """The published clips, games' music where it is installed, and one clip as other formats have it."""
    folder = tmp_path_factory.mktemp("music")
    samples, rate_hz = soundfile.read(sorted(CLIPS.glob("*.wav"))[0], dtype="float32", always_2d=True)
    for name in ("flac", "mp3", "ogg"):
        soundfile.write(folder / f"clip.{name}", samples, rate_hz)
    for name in ("m4a", "mp4"):
        write_aac(folder / f"clip.{name}", samples[:, 0], rate_hz)
    files = [*sorted(CLIPS.glob("*.wav")), *sorted(folder.iterdir())]
    waves = {path.name: load(path) for path in files}
    return waves | {path.name: load(path, (30.0, 42.5)) for path in sorted(GAMES.glob("*.ogg"))[:2]}


def write_aac(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    """Writes samples as AAC; in the video container beside a second of black pictures."""
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=rate_hz)
        stream.layout = "mono"
        pictures: Any = container.add_stream("mpeg4", rate=5) if path.suffix == ".mp4" else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
            for _ in range(5):
                black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                container.mux(pictures.encode(black))
            container.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
        frame.rate, frame.pts = rate_hz, 0
        fit = av.AudioResampler("fltp", "mono", rate_hz, stream.codec_context.frame_size)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def test_real_music_is_embedded_finitely_and_the_same_again(stack: Stack, music: dict[str, Waveform]) -> None:
    assert len(music) >= 9
    embedded = {name: stack.embed_audio(wave) for name, wave in music.items()}
    assert all(np.isfinite(values).all() for blocks in embedded.values() for values in blocks.values())
    for name in list(music)[:3]:
        for block, values in stack.embed_audio(music[name]).items():
            assert np.array_equal(embedded[name][block], values), name
    for text in ("high quality instrumental music, a calm piano", "テクノ"):
        for values in stack.embed_prompt(text).values():
            assert np.isfinite(values).all()
            assert values.any()


def test_a_clip_does_not_depend_on_its_batch(stack: Stack, music: dict[str, Waveform]) -> None:
    """The first nine seconds of four clips, one by one and together."""
    (encoder,) = stack.audio
    assert isinstance(encoder, WindowedEncoder)
    waves = [Waveform(wave.samples[:, : 9 * wave.sample_rate_hz], wave.sample_rate_hz) for wave in music.values()][:4]
    with torch.inference_mode():
        windows = [encoder.framing.windows(wave)[0] for wave in waves]
        together = encoder.embed_windows(torch.stack(windows))
        for window, row in zip(windows, together, strict=True):
            assert_close(encoder.embed_windows(window[None])[0].numpy(), row.numpy(), BATCH)
