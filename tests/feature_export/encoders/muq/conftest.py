"""Tiny weights on disk, and the encoders made of them."""

from pathlib import Path

import pytest

from feature_export.audio import SignalPath
from feature_export.encoders.compute import Compute
from feature_export.encoders.muq import make
from feature_export.encoders.muq.encoder import MuqAudio, MuqText
from tests.tiny_weights import muq as tiny


@pytest.fixture(scope="session")
def muq_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights that nobody writes to."""
    root = tmp_path_factory.mktemp("weights")
    tiny.write(root / "muq")
    return root


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, found by `find_weights`."""
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    tiny.write(tmp_path / "muq")
    return tmp_path / "muq"


@pytest.fixture(scope="session")
def pair(muq_root: Path) -> tuple[MuqAudio, MuqText]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(muq_root))
        (audio,), (text,) = make(SignalPath(), Compute())
    return audio, text


@pytest.fixture(scope="session")
def audio(pair: tuple[MuqAudio, MuqText]) -> MuqAudio:
    return pair[0]


@pytest.fixture(scope="session")
def text(pair: tuple[MuqAudio, MuqText]) -> MuqText:
    return pair[1]
