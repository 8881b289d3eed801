"""Where and in what precision networks run."""

import pytest
import torch

from feature_export.encoders import Compute


def test_names_its_precision() -> None:
    assert Compute().dtype == "float32"
    assert Compute(autocast=True).dtype == "bfloat16 autocast"


@pytest.mark.parametrize(("autocast", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_runs_in_that_precision(autocast: bool, dtype: torch.dtype) -> None:
    with Compute(autocast=autocast).running():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
        assert not torch.backends.cudnn.allow_tf32
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("device", ["tpu", "", "cpu:1", "cuda:99", "cuda:x"])
def test_refuses_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ValueError, match=f"device: got '{device.partition(':')[0]}"):
        Compute(device)


def test_best_is_a_device_of_this_machine() -> None:
    assert Compute.best().device == ("cuda" if torch.cuda.is_available() else "cpu")
