"""How much a network hears at once: what was asked for, else what suits its device."""

from typing import Any

import pytest
import torch
from torch import Tensor

from feature_export.encoders import Stack
from feature_export.export.clips import encode_clips
from feature_export.export.limits import Limits
from feature_export.export.rows import Rows
from feature_export.preparation import Prepared, Windows
from tunejury_jax.blocks import Block
from tunejury_jax.store import EncoderSpec

RATE_HZ = 100


class Listener:
    """A windowed encoder that counts the windows of every batch."""

    block, sample_rate_hz = Block("toy", 1, "clip"), RATE_HZ
    revision = description = "toy"
    framing: Any = None

    def __init__(self) -> None:
        self.heard: list[int] = []

    def provenance(self) -> dict[str, Any]:
        return {}

    def embed(self, wave: Any) -> Any:
        raise NotImplementedError

    def embed_windows(self, windows: Tensor) -> Tensor:
        self.heard.append(len(windows))
        return windows[:, :1]

    def pool(self, embedded: Tensor, lengths: Any) -> Tensor:
        return embedded.mean(0)


@pytest.mark.parametrize(
    ("batch_s", "device", "expected"),
    [(None, "cpu", [2] * 4), (None, "cuda:1", [6, 2]), (10.0, "cpu", [1] * 8), (40.0, "cuda", [4, 4])],
)
def test_batches_suit_the_device_of_the_stack(batch_s: float | None, device: str, expected: list[int]) -> None:
    listener, numbers = Listener(), range(8)
    rows = Rows(numbers, {"toy": EncoderSpec(listener.block, {})})
    clips = [Prepared("0" * 64, windows={"toy": Windows(torch.full((1000,), float(row)), (1000,))}) for row in numbers]
    encode_clips(numbers, clips, Stack((listener,), (), device=device), Limits(batch_s=batch_s), rows, lambda _: None)
    assert listener.heard == expected
    assert rows.values["toy"].ravel().tolist() == list(numbers)


@pytest.mark.parametrize("field", [{"workers": -1}, {"memory_bytes": 0}, {"batch_s": 0.0}, {"batch_s": float("nan")}])
def test_limits_that_leave_nothing(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(field))}: got .*, expected"):
        Limits(**field)
