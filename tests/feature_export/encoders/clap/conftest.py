"""Tiny weights on disk, and the encoders made of them."""

from pathlib import Path

import pytest

from feature_export.audio import SignalPath
from feature_export.encoders.clap import make
from feature_export.encoders.clap.encoder import ClapAudio, ClapText
from feature_export.encoders.compute import Compute
from tests.tiny_weights import clap as tiny


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights that nobody writes to."""
    root = tmp_path_factory.mktemp("weights")
    tiny.write(root / "clap")
    return root


@pytest.fixture
def weights(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, found by `find_weights`."""
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tiny_root))
    return tiny_root / "clap"


@pytest.fixture(scope="session")
def pair(tiny_root: Path) -> tuple[ClapAudio, ClapText]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(tiny_root))
        (audio,), (text,) = make(SignalPath(), Compute())
    return audio, text


@pytest.fixture(scope="session")
def audio(pair: tuple[ClapAudio, ClapText]) -> ClapAudio:
    return pair[0]


@pytest.fixture(scope="session")
def text(pair: tuple[ClapAudio, ClapText]) -> ClapText:
    return pair[1]
