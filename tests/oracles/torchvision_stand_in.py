"""What laion_clap and x_clip import from torchvision, as names only: their image code is never run.

torchvision on PyPI is built for CUDA and does not load beside a CPU torch.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

__all__ = ["install"]

NAMES = ("torchvision", "torchvision.datasets", "torchvision.ops", "torchvision.ops.misc", "torchvision.transforms")


class _Placeholder:
    """Any class of torchvision: can be imported and compared with, not made."""

    def __init__(self, *arguments: object, **options: object) -> NoReturn:
        raise NotImplementedError("torchvision: this is the stand-in of the reference environment")


class _StandIn(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__, self.__path__ = ModuleSpec(name, None, is_package=True), []

    def __getattr__(self, name: str) -> type[_Placeholder]:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Placeholder,), {})


def install() -> None:
    """Puts the stand-in into `sys.modules`."""
    for name in NAMES:
        parent, _, child = name.rpartition(".")
        sys.modules[name] = module = _StandIn(name)
        if parent:
            setattr(sys.modules[parent], child, module)
