"""Windows of many clips together: which ones, in what memory, and that a clip gets what it would get alone."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from feature_export.encoders.windowed import weighted_mean
from feature_export.export.batches import Batches
from feature_export.preparation import Windows
from tunejury_jax.blocks import Block

RATE_HZ = 10


class Network:
    """A windowed encoder whose network tells what it was given, and can hold so many samples at once."""

    block, sample_rate_hz = Block("toy", 2, "clip"), RATE_HZ
    revision = description = "toy"
    framing: Any = None

    def __init__(self, holds: int = 1 << 30, error: Exception | None = None) -> None:
        self.holds, self.error = holds, error or torch.OutOfMemoryError("tried to allocate 3 of 2 GiB")
        self.batches: list[list[list[float]]] = []

    def provenance(self) -> dict[str, Any]:
        return {}

    def embed(self, wave: Any) -> Any:
        raise NotImplementedError

    def embed_windows(self, windows: Tensor) -> Tensor:
        if windows.numel() > self.holds:
            raise self.error
        self.batches.append(windows.tolist())
        return torch.stack([windows.mean(1), windows.square().sum(1)], dim=1)

    def pool(self, embedded: Tensor, lengths: Sequence[int]) -> Tensor:
        return weighted_mean(embedded, lengths)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Windows and their length, of each batch."""
        return [(len(batch), len(batch[0])) for batch in self.batches]


def windows(seed: int, *lengths: int) -> Windows:
    samples = torch.from_numpy(np.random.default_rng(seed).standard_normal(sum(lengths), np.float32))
    return Windows(samples, lengths)


def run(network: Network, clips: dict[int, Windows], batch_s: float = 100.0, memory_bytes: int = 1 << 30) -> Batches:
    batches = Batches(network, batch_s, memory_bytes)
    for row, clip in clips.items():
        batches.add(row, clip)
    batches.finish()
    return batches


CLIPS = {row: windows(row, *lengths) for row, lengths in enumerate([(5, 5, 2), (5,), (3, 3), (2,), (5, 3), (7,)], 3)}


def alone(clip: Windows) -> np.ndarray:
    """In float64: the mean of means weighted by length is the mean, that of energies is by hand."""
    parts = np.split(clip.samples.numpy().astype(np.float64), np.cumsum(clip.lengths)[:-1])
    energy = sum(len(part) * np.square(part).sum() for part in parts)
    return np.array([np.concatenate(parts).mean(), energy / sum(clip.lengths)])


@pytest.mark.parametrize("batch_s", [0.1, 0.5, 1.0, 1.1, 100.0])
@pytest.mark.parametrize("memory_bytes", [1, 60, 1 << 30])
@pytest.mark.parametrize("holds", [7, 10, 1 << 30])
def test_a_clip_gets_what_it_would_get_alone(batch_s: float, memory_bytes: int, holds: int) -> None:
    results = run(Network(holds), CLIPS, batch_s, memory_bytes).results
    assert results.keys() == CLIPS.keys()
    for row, clip in CLIPS.items():
        assert np.allclose(results[row], alone(clip), rtol=1e-6, atol=1e-7)


def test_windows_of_one_length_go_together_longest_first() -> None:
    network = Network()
    run(network, CLIPS)
    assert network.shapes == [(1, 7), (4, 5), (3, 3), (2, 2)]
    first = CLIPS[3].samples[:5].tolist()
    assert network.batches[1][0] == first


def test_a_batch_has_at_most_so_many_seconds() -> None:
    network = Network()
    run(network, CLIPS, batch_s=1.0)
    assert all(count * length <= 1.0 * RATE_HZ for count, length in network.shapes)
    assert (2, 5) in network.shapes


def test_a_window_that_is_longer_goes_alone() -> None:
    network = Network()
    run(network, {0: windows(0, 30, 30), 1: windows(1, 30)}, batch_s=1.0)
    assert network.shapes == [(1, 30)] * 3


def test_a_batch_that_is_full_does_not_wait() -> None:
    network = Network()
    batches = Batches(network, 1.0, 1 << 30)
    batches.add(0, windows(0, 5))
    assert (batches.waiting, network.shapes) == (1, [])
    batches.add(1, windows(1, 5, 2))
    assert (batches.waiting, network.shapes, list(batches.results)) == (1, [(2, 5)], [0])


def test_windows_that_wait_are_bounded_the_largest_group_goes_first() -> None:
    network = Network()
    batches = Batches(network, 100.0, 12 * 4)
    for row, length in enumerate((4, 5, 4)):
        batches.add(row, windows(row, length))
    assert network.shapes == [(2, 4)]
    assert batches.waiting == 1


def test_what_goes_together_depends_on_the_clips_and_their_order() -> None:
    first, again, turned = Network(), Network(), Network()
    for network, clips in ((first, CLIPS), (again, CLIPS), (turned, dict(reversed(CLIPS.items())))):
        run(network, clips, batch_s=1.0)
    assert first.batches == again.batches
    assert first.batches != turned.batches


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("tried to allocate 3 of 2 GiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 3 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_batch_that_does_not_fit_is_halved(error: Exception) -> None:
    network = Network(holds=10, error=error)
    clips = {row: windows(row, 5) for row in range(5)}
    batches = run(network, clips)
    assert network.shapes == [(2, 5), (1, 5), (2, 5)]
    assert batches.halved == 2
    assert all(np.allclose(batches.results[row], alone(clip), rtol=1e-6) for row, clip in clips.items())


def test_real_exhaustion_is_known() -> None:
    class Huge(Network):
        def embed_windows(self, windows: Tensor) -> Tensor:
            return windows.new_empty(len(windows), 1 << 45)

    batches = run(Huge(), {4: windows(0, 5), 5: windows(1, 5)})
    assert batches.halved == 1
    assert set(batches.results.values()) == {"toy: out of memory with a single window of 5 samples"}


def test_a_single_window_that_does_not_fit_fails_its_clip_alone() -> None:
    batches = run(Network(holds=6), {0: windows(0, 5), 1: windows(1, 7, 5), 2: windows(2, 5)})
    assert batches.results[1] == "toy: out of memory with a single window of 7 samples"
    assert [isinstance(batches.results[row], np.ndarray) for row in (0, 2)] == [True, True]


@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("too short\nat all"), "toy: too short"), (RuntimeError(), "toy: RuntimeError")]
)
def test_a_refused_window_fails_its_clip_alone(error: Exception, reason: str) -> None:
    class Picky(Network):
        def embed_windows(self, windows: Tensor) -> Tensor:
            if (windows > 100).any():
                raise error
            return super().embed_windows(windows)

    clips = {row: windows(row, 5) for row in range(4)} | {4: Windows(torch.full((5,), 200.0), (5,))}
    batches = run(Picky(), clips)
    assert batches.results[4] == reason
    assert batches.halved == 0
    assert all(np.allclose(batches.results[row], alone(clips[row]), rtol=1e-6) for row in range(4))


@pytest.mark.parametrize("error", [KeyError("bug"), TypeError("bug")])
def test_a_bug_is_no_failed_clip(error: Exception) -> None:
    with pytest.raises(type(error)):
        run(Network(holds=0, error=error), CLIPS)


def test_a_fault_of_the_device_stops_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class FaultError(RuntimeError):
        """As torch raises it after an error on the device."""

    monkeypatch.setattr("feature_export.export.batches._FATAL", (FaultError,))
    with pytest.raises(FaultError):
        run(Network(holds=0, error=FaultError("an illegal memory access")), CLIPS)


def test_lengths_fall() -> None:
    network = Network()
    run(network, {row: windows(row, row + 1) for row in range(9)})
    assert all(a[1] > b[1] for a, b in pairwise(network.shapes))
