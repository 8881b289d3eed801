"""What MuQ-MuLan hears at once: chunks that cover the clip, the last one wrapped to its start."""

import pytest
import torch

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders.muq.chunks import SHORTEST, MuqFraming, chunks

CHUNK = 240_000


@pytest.mark.parametrize("samples", [1, 2, 512, 513, 72_000, 119_999, 120_001, 239_999, 240_000, 240_001, 600_000])
def test_chunks_are_the_clip_read_round_and_round(samples: int) -> None:
    found = chunks(torch.arange(samples, dtype=torch.float64))
    assert len(found) == -(-samples // CHUNK)
    for number, chunk in enumerate(found):
        places = (number * CHUNK + torch.arange(len(chunk))) % samples
        assert torch.equal(chunk, places.double())


@pytest.mark.parametrize(
    ("samples", "length"),
    [(1, 1026), (400, 1600), (512, 2048), (513, 1026), (72_000, 144_000), (120_000, CHUNK), (144_000, CHUNK)],
)
def test_only_clips_of_less_than_5_s_stay_short(samples: int, length: int) -> None:
    (chunk,) = chunks(torch.zeros(samples))
    assert len(chunk) == length >= SHORTEST


def test_the_crop_does_not_apply() -> None:
    wave = Waveform(torch.arange(24_000 * 25.0)[None] / 1e6, 24_000)
    for crop in ("middle", "first", "random", "windows"):
        found = MuqFraming(SignalPath(crop=crop)).windows(wave)
        assert [len(chunk) for chunk in found] == [CHUNK] * 3
        assert torch.equal(found[2], torch.cat([wave.samples[0, 2 * CHUNK :], wave.samples[0, : CHUNK // 2]]))


def test_a_sample_heard_twice_counts_twice_in_the_gradient() -> None:
    samples = torch.zeros(300_000, requires_grad=True)
    torch.cat(chunks(samples)).sum().backward()
    assert samples.grad is not None
    assert samples.grad[:180_000].eq(2).all()
    assert samples.grad[180_000:].eq(1).all()
