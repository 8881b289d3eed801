"""The doctor on healthy and on made-up sick installations: it reports, and never fails itself."""

import importlib.util
from importlib import metadata
from types import SimpleNamespace

import pytest

from tunejury_jax import doctor
from tunejury_jax.doctor import INSTALL_EXPORT, OPTIONAL, REQUIRED, examine

find_spec, import_module, version = importlib.util.find_spec, doctor.import_module, metadata.version


@pytest.fixture
def without(monkeypatch):
    """Makes packages look as if they were not installed."""

    def without(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in names else find_spec(n))
        monkeypatch.setattr(metadata, "version", lambda n: missing(n) if n in names else version(n))
        monkeypatch.setattr(doctor, "import_module", lambda n: missing(n) if n in names else import_module(n))

    return without


def missing(name):
    raise metadata.PackageNotFoundError(name)


@pytest.fixture
def with_module(monkeypatch):
    """Makes a module be there; `load` stands for its import."""

    def with_module(name, load):
        monkeypatch.setattr(importlib.util, "find_spec", lambda n: object() if n == name else find_spec(n))
        monkeypatch.setattr(doctor, "import_module", lambda n: load() if n == name else import_module(n))

    return with_module


def fail(error):
    raise error


def torch_with_cuda(available=True):
    cuda = SimpleNamespace(is_available=lambda: available, get_device_name=lambda index: "NVIDIA H100")
    return SimpleNamespace(cuda=cuda)


def found():
    return {finding.part: finding for finding in examine()}


def test_every_part_is_listed_with_its_version():
    findings = found()
    for name in ("tunejury-jax", *REQUIRED, *OPTIONAL):
        assert findings[name].state == version(name)
        assert findings[name].advice == ""
    assert findings["python"].state.startswith("3.")
    assert findings["jax backend"].state.startswith("cpu: 1 x ")


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_missing_optional_part_comes_with_its_use_and_advice(without, name):
    without(name)
    assert found()[name] == (name, f"missing: needed for {OPTIONAL[name][1]}", INSTALL_EXPORT)


def test_without_torch_there_is_no_torch_backend(without):
    without("torch")
    assert found()["torch backend"] == ("torch backend", "none", INSTALL_EXPORT)
    assert found()["jax backend"].advice == ""


def test_a_missing_required_part_is_told_not_raised(without):
    without("tensorstore")
    assert found()["tensorstore"] == ("tensorstore", "missing", "pip install tunejury-jax")


@pytest.mark.parametrize("error", [ImportError("No module named 'jaxlib'"), RuntimeError("Unable to initialize cuda")])
def test_a_broken_jax_is_told_not_raised(with_module, error):
    with_module("jax", lambda: fail(error))
    assert found()["jax backend"] == ("jax backend", f"broken: {error}", "pip install tunejury-jax")


def test_a_gpu_that_only_torch_sees_comes_with_advice(with_module):
    with_module("torch", torch_with_cuda)
    assert found()["torch backend"].state == "NVIDIA H100"
    assert found()["jax backend"].advice.endswith("pip install 'tunejury-jax[gpu]'")


def test_no_gpu_needs_no_advice(with_module):
    with_module("torch", lambda: torch_with_cuda(available=False))
    assert found()["torch backend"] == ("torch backend", "cpu", "")
    assert found()["jax backend"].advice == ""


@pytest.mark.parametrize("error", [OSError("libtorch.so: cannot open"), ImportError("undefined symbol")])
def test_a_broken_torch_is_told_not_raised(with_module, error):
    with_module("torch", lambda: fail(error))
    assert found()["torch backend"] == ("torch backend", f"broken: {error}", INSTALL_EXPORT)


@pytest.mark.parametrize("error", [OSError("undefined symbol"), RuntimeError("operator torchvision::nms")])
def test_a_broken_torchvision_is_told_with_the_cure(with_module, error):
    with_module("torchvision", lambda: fail(error))
    finding = found()["torchvision"]
    assert finding.state == f"broken: {error}"
    assert finding.advice == "not needed here and breaks transformers: pip uninstall torchvision"


def test_torchvision_is_not_needed(without, with_module):
    with_module("torchvision", SimpleNamespace)
    assert found()["torchvision, torchaudio"].state == "torchvision present, not used"
    without("torchvision", "torchaudio")
    assert found()["torchvision, torchaudio"].state == "not needed"
