"""Published weight files: read and written bit by bit, and refused when they hold anything but a head."""

import os
import zipfile

import numpy as np
import pytest
import torch
from torch_twin import Twin

from tunejury_jax.bridge import weights as module
from tunejury_jax.bridge.weights import read_weights, write_weights


@pytest.fixture
def state():
    """As torch's own module has it, counters included."""
    torch.manual_seed(0)
    twin = Twin(6, (5, 3)).unsettle(1)
    for number, norm in enumerate(twin.norms):
        norm.num_batches_tracked.fill_(7 + number)
    return {name: value.clone() for name, value in twin.state_dict().items()}


def renamed(state, name):
    return {key.replace("net.", f"{name}."): value for key, value in state.items()}


def saved(path, document):
    torch.save(document, path)
    return path


def refused(path, message):
    with pytest.raises(ValueError, match=message):
        read_weights(path)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("module_name", ["net", "score"])
def test_what_is_read_is_written_again_bit_by_bit(tmp_path, state, module_name, wrapped):
    named = renamed(state, module_name)
    weights = read_weights(saved(tmp_path / "head.pt", {"state_dict": named} if wrapped else named))
    assert (weights.module, weights.batches) == (module_name, (7, 8))
    write_weights(tmp_path / "again.pt", weights)
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert list(again) == list(named)  # in the module's order, too
    for name, value in named.items():
        assert again[name].dtype == value.dtype
        assert again[name].shape == value.shape
        assert again[name].numpy().tobytes() == value.numpy().tobytes()


def test_signs_of_zero_and_tiny_numbers_survive(tmp_path, state):
    state["net.0.weight"][0, :3] = torch.tensor([-0.0, 1e-42, -1e-45])
    write_weights(tmp_path / "again.pt", read_weights(saved(tmp_path / "head.pt", state)))
    found = torch.load(tmp_path / "again.pt", weights_only=True)["net.0.weight"]
    assert found.numpy().tobytes() == state["net.0.weight"].numpy().tobytes()


def test_the_published_module_takes_what_is_written(tmp_path, state):
    write_weights(tmp_path / "head.pt", read_weights(saved(tmp_path / "first.pt", state)))
    twin = Twin(6, (5, 3))
    twin.load_state_dict(torch.load(tmp_path / "head.pt", weights_only=True), strict=True)
    assert int(twin.norms[1].num_batches_tracked) == 8


def test_counters_may_be_missing(tmp_path, state):
    without = {name: value for name, value in state.items() if "tracked" not in name}
    assert read_weights(saved(tmp_path / "head.pt", without)).batches == (0, 0)


def test_parameters_are_tensors(tmp_path, state):
    as_parameters = {n: torch.nn.Parameter(v) if v.is_floating_point() else v for n, v in state.items()}
    found = read_weights(saved(tmp_path / "head.pt", as_parameters))
    np.testing.assert_array_equal(found.state["net.8.bias"], state["net.8.bias"].numpy())


class Bomb:
    def __reduce__(self):
        return os.system, ("touch bomb-went-off",)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch, state):
    monkeypatch.chdir(tmp_path)
    refused(saved(tmp_path / "bomb.pt", {**state, "net.0.weight": Bomb()}), "bomb.pt: damaged, or holds more than")
    assert not (tmp_path / "bomb-went-off").exists()


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path, state, share):
    path = saved(tmp_path / "head.pt", state)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, "head.pt: not a file that torch.save wrote .*, or cut off")


def test_a_missing_file_is_told(tmp_path):
    refused(tmp_path / "none.pt", "none.pt: no such file; expected weights as torch saves them")


def test_damage_inside_is_told(tmp_path, state):
    path = saved(tmp_path / "head.pt", state)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = next(entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")).header_offset
    data[place + 120 : place + 160] = b"\xff" * 40
    path.write_bytes(data)
    refused(path, "head.pt: damaged, or holds more than weights: ")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "head.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("head/data/0", bytes(1 << 20))
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 19)
    refused(tmp_path / "head.pt", "head.pt: 1048576 bytes, accepted are at most 524288")


def test_a_tensor_that_only_seems_small_is_refused(tmp_path, state):
    state["net.0.weight"] = torch.zeros(1, 1).expand(1 << 16, 1 << 14)
    refused(saved(tmp_path / "head.pt", state), "tensors of 4294.* bytes, accepted are at most 1073741824")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1, 2], "holds list, expected a state dict"),
        ({}, "holds dict, expected a state dict"),
        ({"state_dict": {}}, "holds dict, expected a state dict"),
        ({"epoch": 3}, r"expected plain tensors by name, got others at \['epoch'\]"),
        ({3: torch.zeros(1)}, r"expected plain tensors by name, got others at \['3'\]"),
        ({"net.0.weight": torch.eye(2).to_sparse()}, "expected plain tensors by name"),
        ({"net.0.weight": torch.zeros(2, 2, device="meta")}, "expected plain tensors by name"),
        ({"head.0.weight": torch.eye(2)}, r"modules \['head'\], accepted is one of \['net', 'score'\]"),
        ({"net.0.weight": torch.eye(2), "score.0.bias": torch.ones(2)}, r"modules \['net', 'score'\], accepted is"),
        ({"net.0.weight": torch.eye(2)}, r"expected matrices net\.0\.weight, net\.4\.weight"),
    ],
    ids=str,
)
def test_what_is_no_head_is_refused(tmp_path, document, message):
    refused(saved(tmp_path / "head.pt", document), message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("net.0.weight", torch.zeros(5, 6).double(), r"net\.0\.weight: got torch\.float64, expected torch\.float32"),
        ("net.4.bias", torch.zeros(3, dtype=torch.int32), r"net\.4\.bias: got torch\.int32, expected torch\.float32"),
        ("net.4.bias", torch.full((3,), float("nan")), r"net\.4\.bias: holds values that are not finite"),
        ("net.5.weight", torch.zeros(4), r"net\.5\.weight: got shape \(4,\), expected \(3,\)"),
        ("net.1.running_var", -torch.ones(5), r"net\.1\.running_var: holds a negative variance"),
        ("net.1.num_batches_tracked", torch.tensor(1.5), r"tracked: got torch\.float32, expected torch\.int64"),
        ("net.1.num_batches_tracked", torch.tensor(-1), "expected one whole number from 0 a layer"),
        ("net.1.num_batches_tracked", torch.tensor([1, 2]), "expected one whole number from 0 a layer"),
        ("net.9.num_batches_tracked", torch.tensor(1), r"\['net\.9\.num_batches_tracked'\] are not arrays of a head"),
        ("net.extra", torch.zeros(2), r"\['net\.extra'\] are not arrays of a head with widths \(5, 3\)"),
    ],
    ids=str,
)
def test_an_unusable_array_is_named(tmp_path, state, name, value, message):
    refused(saved(tmp_path / "head.pt", {**state, name: value}), rf"head\.pt: .*{message}")


def test_a_missing_array_is_named(tmp_path, state):
    del state["net.5.running_mean"]
    refused(saved(tmp_path / "head.pt", state), r"\['net\.5\.running_mean'\] missing")


def test_absurd_widths_are_refused(tmp_path):
    state = {"net.0.weight": torch.zeros(1 << 17, 1), "net.4.weight": torch.zeros(1, 1 << 17)}
    refused(saved(tmp_path / "head.pt", state), "widths: got .*131072.*, accepted are 1 to 32 of 1 to 65536")
