"""What is installed, what is missing, and what to do about it."""

import importlib.util
import platform
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import NamedTuple

__all__ = ["Finding", "examine"]

REQUIRED = ("jax", "flax", "optax", "numpy", "tensorstore", "optuna", "safetensors", "pyarrow", "matplotlib")
OPTIONAL = {
    "torch": ("torch", "exporting features and scoring audio"),
    "soundfile": ("soundfile", "reading wav, flac, mp3 and ogg"),
    "av": ("av", "reading m4a, mp4 and webm"),
}
INSTALL_EXPORT = "pip install 'tunejury-jax[export]'"


class Finding(NamedTuple):
    """One line of the doctor's report; `advice` is empty where nothing needs doing."""

    part: str
    state: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Looks at versions, backends and optional parts; a missing optional part is no failure."""
    yield Finding("python", platform.python_version())
    for name in ("tunejury-jax", *REQUIRED):
        yield Finding(name, metadata.version(name))
    for name, (module, use) in OPTIONAL.items():
        if importlib.util.find_spec(module):
            yield Finding(name, metadata.version(name))
        else:
            yield Finding(name, f"missing: needed for {use}", INSTALL_EXPORT)
    yield _jax_backend()
    yield _torch_backend()
    yield _torch_extensions()


def _jax_backend() -> Finding:
    import jax

    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    state = f"{jax.default_backend()}: {jax.device_count()} x {devices}"
    nvidia_without_jax = jax.default_backend() == "cpu" and _cuda_by_torch()
    advice = "torch sees a CUDA device, JAX does not: pip install 'tunejury-jax[gpu]'" if nvidia_without_jax else ""
    return Finding("jax backend", state, advice)


def _torch_backend() -> Finding:
    if not importlib.util.find_spec("torch"):
        return Finding("torch backend", "none", INSTALL_EXPORT)
    torch = import_module("torch")
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
    return bool(importlib.util.find_spec("torch")) and import_module("torch").cuda.is_available()
