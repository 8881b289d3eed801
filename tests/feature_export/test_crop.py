"""The crop rule, window by window."""

import pytest
import torch
from torch.testing import assert_close

from feature_export.audio import CROPS, Crop, SignalPath
from feature_export.crop import crop

CLIP = torch.arange(1.0, 11.0)


def test_middle_is_the_default() -> None:
    assert crop(CLIP, 4, SignalPath()).tolist() == [[4, 5, 6, 7]]
    assert crop(CLIP, 3, SignalPath()).tolist() == [[4, 5, 6]]


def test_first() -> None:
    assert crop(CLIP, 4, SignalPath(crop="first")).tolist() == [[1, 2, 3, 4]]


def test_windows_cover_the_clip_and_the_last_ends_with_it() -> None:
    path = SignalPath(crop="windows")
    assert crop(CLIP, 4, path).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [7, 8, 9, 10]]
    assert crop(CLIP, 5, path).tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert crop(CLIP, 9, path).tolist() == [CLIP[:9].tolist(), CLIP[1:].tolist()]


def test_random_depends_on_seed_and_length_only() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = crop(CLIP, 4, SignalPath(crop="random", seed=3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, crop(CLIP, 4, SignalPath(crop="random", seed=3)))


def test_random_reaches_every_place() -> None:
    windows = torch.cat([crop(CLIP, 4, SignalPath(crop="random", seed=seed)) for seed in range(200)])  # (200, 4)
    assert sorted({int(window[0]) for window in windows}) == [1, 2, 3, 4, 5, 6, 7]
    assert_close(windows - windows[:, :1], torch.arange(4.0).expand(200, 4))


def test_random_draws_anew_for_another_length() -> None:
    """One draw brought into two ranges, one twice the other, would leave the same remainder."""

    def place(places: int) -> int:
        return int(crop(torch.arange(9.0 + places), 10, SignalPath(crop="random"))[0, 0])

    same = [place(2 * places) % places == place(places) for places in range(50, 90)]
    assert sum(same) < 5


@pytest.mark.parametrize("rule", CROPS)
def test_shorter_clips_are_repeated_then_padded(rule: Crop) -> None:
    path = SignalPath(crop=rule)
    assert crop(CLIP[:3], 8, path).tolist() == [[1, 2, 3, 1, 2, 3, 0, 0]]
    assert crop(CLIP[:5], 8, path).tolist() == [[1, 2, 3, 4, 5, 0, 0, 0]]
    assert crop(CLIP[:4], 8, path).tolist() == [[1, 2, 3, 4, 1, 2, 3, 4]]
    assert crop(CLIP, 10, path).tolist() == [CLIP.tolist()]


@pytest.mark.parametrize("rule", CROPS)
@pytest.mark.parametrize("length", [3, 10, 25])
def test_gradient(rule: Crop, length: int) -> None:
    clip = CLIP.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda clip: crop(clip, length, SignalPath(crop=rule)), (clip,))


def test_windows_give_every_sample_a_gradient() -> None:
    clip = CLIP.clone().requires_grad_()
    crop(clip, 4, SignalPath(crop="windows")).sum().backward()
    assert clip.grad is not None
    assert clip.grad.tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 1, 1]


@pytest.mark.parametrize(("samples", "length"), [(0, 4), (4, 0)])
def test_nothing_to_crop(samples: int, length: int) -> None:
    with pytest.raises(ValueError, match=rf"expected at least one each, got {samples} and {length}"):
        crop(torch.zeros(samples), length, SignalPath())
