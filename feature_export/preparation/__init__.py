"""Clips on their way to the networks: decoded, embedded by what needs no network, cut into windows, ahead of time.

All of this may run in worker processes, so nothing here imports JAX, TensorStore or what the networks are made of.
"""

from feature_export.preparation.ahead import prepare_ahead
from feature_export.preparation.clip import ClipFile, Preparation, Prepared, Windows
from feature_export.preparation.digest import file_sha256

__all__ = ["ClipFile", "Preparation", "Prepared", "Windows", "file_sha256", "prepare_ahead"]
