"""Other poolings of MERT: their laws, and that none can be taken for another."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import Compute
from feature_export.encoders.mert import make
from feature_export.encoders.mert.config import MertConfig
from feature_export.encoders.mert.encoder import Mert, MertFraming
from feature_export.encoders.mert.network import MertNetwork
from feature_export.encoders.mert.pooling import TUNEJURY, MertPooling
from tests.tiny_weights.mert import NARROW, build, write

POOLINGS = (TUNEJURY, MertPooling(0), MertPooling(3), MertPooling(None), MertPooling(over_time="maximum"))
NOISE = 0.1 * torch.randn(13_000, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> MertNetwork:
    return MertNetwork.load(MertConfig(NARROW), build(NARROW), Compute())


def encoder(network: MertNetwork, pooling: MertPooling) -> Mert:
    return Mert(MertFraming(False, 400, 6000), replace(network, pooling=pooling), {}, pooling)


def test_the_last_layer_by_its_number_is_the_last(network: MertNetwork) -> None:
    found = [replace(network, pooling=pooling)(NOISE[None]) for pooling in (MertPooling(3), TUNEJURY)]
    assert torch.equal(*found)


def test_the_mean_over_layers_is_that_of_the_layers(network: MertNetwork) -> None:
    each = [replace(network, pooling=MertPooling(layer))(NOISE[None]) for layer in range(4)]
    together = replace(network, pooling=MertPooling(None))(NOISE[None])
    assert torch.allclose(together, torch.stack(each).mean(0), rtol=0, atol=1e-6)


def test_the_maximum_of_a_clip_is_that_of_its_chunks(network: MertNetwork) -> None:
    largest = encoder(network, MertPooling(over_time="maximum"))
    whole = largest.embed(Waveform(NOISE[None], 24_000))
    chunks = [largest.network(chunk[None])[0] for chunk in (NOISE[:6000], NOISE[6000:12_000], NOISE[12_000:])]
    assert torch.equal(whole, torch.stack(chunks).amax(0))
    assert (whole >= encoder(network, TUNEJURY).embed(Waveform(NOISE[None], 24_000))).all()


def test_poolings_differ_in_provenance(network: MertNetwork) -> None:
    names = [encoder(network, pooling).provenance()["pooling"] for pooling in POOLINGS]
    assert names[0] == "last layer's mean over time, of chunks of 6000 samples weighted by length"
    assert names[-1] == "last layer's maximum over time, of chunks of 6000 samples the largest of each"
    assert len(set(names)) == len(POOLINGS)


def test_is_made_from_the_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    write(tmp_path / "mert")
    (made,), _ = make(SignalPath(), Compute(), MertPooling(0, "maximum"))
    assert str(made.provenance()["pooling"]).startswith("layer 0's maximum over time")
    assert made.embed(Waveform(NOISE[None], 24_000)).shape == (1024,)


def test_bad_poolings_are_refused() -> None:
    with pytest.raises(ValueError, match="layer: got -2"):
        MertPooling(-2)
    with pytest.raises(ValueError, match="layer: got 4, accepted are numbers to 3"):
        MertNetwork.load(MertConfig(NARROW), build(NARROW), Compute(), MertPooling(4))
