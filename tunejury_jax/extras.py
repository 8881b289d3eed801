"""Parts that need torch, imported on first need: the core itself works without."""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["import_extra", "require_licences"]


def import_extra(module: str, purpose: str, extra: str = "export") -> ModuleType:
    """Imports a module that needs an extra.

    Raises:
        ValueError: Something of the extra is not installed; says what to do.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        advice = f"pip install 'tunejury-jax[{extra}]'"
        raise ValueError(f"{purpose} needs the {extra} extra, {error.name} is missing: {advice}") from error


def require_licences(encoders: Mapping[str, Any]) -> None:
    """Raises a ValueError if the licence of an encoder's weights, given by block, has to be accepted and was not."""
    import_extra("feature_export.weights.licences", "scoring audio").require_accepted(encoders)
