"""Parts that need torch, imported on first need: the core itself works without."""

import importlib
from types import ModuleType

__all__ = ["import_extra"]


def import_extra(module: str, purpose: str) -> ModuleType:
    """Imports a module that needs the export extra.

    Raises:
        ValueError: Something of the extra is not installed; says what to do.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        advice = "pip install 'tunejury-jax[export]'"
        raise ValueError(f"{purpose} needs the export extra, {error.name} is missing: {advice}") from error
