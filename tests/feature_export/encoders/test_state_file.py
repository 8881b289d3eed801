"""Weights from files: safe, strict, and refused in words."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from feature_export.encoders.state_file import load_strictly, read_state

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[key], STATE[key]) for key in STATE)


def test_reads_what_torch_saved_bare_or_wrapped(tmp_path: Path) -> None:
    extra = {"epoch": np.int64(15), "best": np.float64(0.9), "optimizer": {"lr": np.float32(1e-3)}}
    torch.save(STATE, tmp_path / "bare.pt")
    torch.save({"state_dict": STATE, **extra}, tmp_path / "wrapped.pt")
    save_file(STATE, tmp_path / "state.safetensors")
    assert all(same(read_state(tmp_path / name)) for name in ("bare.pt", "wrapped.pt", "state.safetensors"))


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_runs_no_code_of_a_pickle(tmp_path: Path) -> None:
    target = tmp_path / "made"
    torch.save({"state_dict": STATE, "bomb": Bomb(target)}, tmp_path / "bomb.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"bomb": Bomb(target)}, protocol=2))
    for name in ("bomb.pt", "plain.pt"):
        with pytest.raises(ValueError, match=f"{name} is damaged, or holds more than weights"):
            read_state(tmp_path / name)
    assert not target.exists()


def damaged(tmp_path: Path, name: str) -> Path:
    good = tmp_path / f"good{Path(name).suffix}"
    save_file(STATE, good) if good.suffix == ".safetensors" else torch.save(STATE, good)
    path = tmp_path / name
    path.write_bytes(good.read_bytes()[: 200 if good.suffix == ".pt" else 90])
    return path


@pytest.mark.parametrize("name", ["cut.pt", "cut.safetensors"])
def test_a_file_cut_short(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        read_state(damaged(tmp_path, name))


def test_empty_missing_and_other_things(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"state_dict": {}}, tmp_path / "none.pt")
    torch.save({"weight": 3}, tmp_path / "number.pt")
    for name, message in {
        "absent.pt": "is not there",
        "empty.pt": "is damaged",
        "list.pt": "holds list, expected a state dict",
        "none.pt": "expected a state dict",
        "number.pt": r"expected tensors by name, got others at \['weight'\]",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_state(tmp_path / name)


def test_loads_all_or_says_which_keys_differ() -> None:
    module = torch.nn.Linear(3, 2)
    load_strictly(module, STATE, "toy")
    assert torch.equal(module.weight, STATE["weight"])
    wrong = {"weight": torch.ones(3, 2), "beta": torch.tensor([float("nan")])}
    message = (
        "1 missing: bias; 1 left over: beta; 1 of another shape: weight .3, 2., expected .2, 3.; 1 not finite: beta"
    )
    with pytest.raises(ValueError, match=f"weights of toy: not those of this encoder; {message}"):
        load_strictly(module, wrong, "toy")
