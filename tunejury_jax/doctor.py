"""What is installed, what is missing, and what to do about it."""

import importlib.util
import platform
from collections.abc import Iterator
from importlib import import_module, metadata
from types import ModuleType
from typing import NamedTuple

__all__ = ["Finding", "examine"]

REQUIRED = ("jax", "flax", "optax", "numpy", "tensorstore", "optuna", "safetensors", "pyarrow", "matplotlib")
OPTIONAL = {
    "torch": ("torch", "exporting features and scoring audio"),
    "soundfile": ("soundfile", "reading wav, flac, mp3 and ogg"),
    "av": ("av", "reading m4a, mp4 and webm"),
}
INSTALL, INSTALL_EXPORT = "pip install tunejury-jax", "pip install 'tunejury-jax[export]'"


class Finding(NamedTuple):
    """One line of the doctor's report; `advice` is empty where nothing needs doing."""

    part: str
    state: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Looks at versions, backends and optional parts; one that is missing or broken is reported, never raised."""
    yield Finding("python", platform.python_version())
    for name in ("tunejury-jax", *REQUIRED):
        yield _required(name)
    for name, (module, use) in OPTIONAL.items():
        if importlib.util.find_spec(module):
            yield Finding(name, metadata.version(name))
        else:
            yield Finding(name, f"missing: needed for {use}", INSTALL_EXPORT)
    yield _jax_backend()
    yield _torch_backend()
    yield _torch_extensions()


def _required(name: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", INSTALL)


def _jax_backend() -> Finding:
    try:
        return _jax_devices(import_module("jax"))
    except (ImportError, RuntimeError) as error:
        return Finding("jax backend", f"broken: {error}", INSTALL)


def _jax_devices(jax: ModuleType) -> Finding:
    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    state = f"{jax.default_backend()}: {jax.device_count()} x {devices}"
    nvidia_without_jax = jax.default_backend() == "cpu" and _cuda_by_torch()
    advice = "torch sees a CUDA device, JAX does not: pip install 'tunejury-jax[gpu]'" if nvidia_without_jax else ""
    return Finding("jax backend", state, advice)


def _torch_backend() -> Finding:
    if not importlib.util.find_spec("torch"):
        return Finding("torch backend", "none", INSTALL_EXPORT)
    try:
        torch = import_module("torch")
    except (ImportError, OSError) as error:
        return Finding("torch backend", f"broken: {error}", INSTALL_EXPORT)
    return Finding("torch backend", torch.cuda.get_device_name(0) if _cuda_by_torch() else "cpu")


def _torch_extensions() -> Finding:
    """torchvision and torchaudio are not used; built for another torch, they break transformers by being there."""
    present = [name for name in ("torchvision", "torchaudio") if importlib.util.find_spec(name)]
    for name in present:
        try:
            import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            return Finding(name, f"broken: {error}", f"not needed here and breaks transformers: pip uninstall {name}")
    return Finding(
        "torchvision, torchaudio", "not needed" if not present else f"{', '.join(present)} present, not used"
    )


def _cuda_by_torch() -> bool:
    try:
        return import_module("torch").cuda.is_available()
    except (ImportError, OSError):  # absent or broken, which has a finding of its own
        return False
