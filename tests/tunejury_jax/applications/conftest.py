"""Backbones that make clips from noise, of the published classes with tiny random weights, written once a session."""

import importlib
from dataclasses import replace
from functools import cache

import pytest

from feature_export.encoders.compute import Compute


@pytest.fixture(scope="session")
def denoiser_folders(tmp_path_factory):
    """Where they lie, each in a folder of its module's name once it was loaded."""
    return tmp_path_factory.mktemp("denoisers")


@pytest.fixture(scope="session")
def load_denoiser(denoiser_folders):
    """A function that loads one of them, with changes of its own recipe; the same again for the same changes."""

    @cache
    def load(module, compute=None, **changes):
        folder = denoiser_folders / module
        if not folder.is_dir():
            importlib.import_module(f"tests.tiny_generators.{module}").write(folder)
        backbone = importlib.import_module(f"tunejury_jax.applications.generators.{module}")
        recipe = replace(backbone.RECIPES["own"], **changes)
        return backbone.load(folder, recipe, compute or Compute(), backbone.NAME)

    return load
