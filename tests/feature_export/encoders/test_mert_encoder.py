"""The `mert` family: its files, its framing, and the laws of its embeddings."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import Compute, WindowedEncoder, load_stack, stack_from_provenance
from feature_export.encoders.mert import make
from feature_export.encoders.mert.config import MertConfig
from feature_export.encoders.mert.encoder import CHUNK_S, Mert, MertFraming
from feature_export.encoders.mert.network import MertNetwork
from feature_export.encoders.state_file import read_state
from tests.tiny_weights.mert import NARROW, build, write

RATE_HZ = 24_000
CONFIG = MertConfig(NARROW)


def noise(*shape: int, seed: int = 0, rms: float = 0.1) -> Tensor:
    return rms * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clip(samples: Tensor) -> Waveform:
    return Waveform(samples[None], RATE_HZ)


@pytest.fixture(scope="module")
def network() -> MertNetwork:
    return MertNetwork.load(CONFIG, build(NARROW), Compute())


@pytest.fixture(scope="module")
def double() -> MertNetwork:
    loaded = MertNetwork.load(CONFIG, build(NARROW), Compute())
    return MertNetwork(loaded.model.double(), loaded.compute)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    write(tmp_path / "mert")
    return tmp_path / "mert"


def narrow(network: MertNetwork, normalize: bool = False, longest: int = 6000) -> Mert:
    return Mert(MertFraming(normalize, CONFIG.shortest, longest), network, {})


def test_makes_the_block_from_the_published_files(folder: Path) -> None:
    (encoder,), text = make(SignalPath(int16=True), Compute())
    assert text == ()
    assert isinstance(encoder, WindowedEncoder)
    embedding = encoder.embed(clip(noise(12_000)))
    assert embedding.shape == (1024,)
    assert embedding.isfinite().all()
    provenance = encoder.provenance()
    sha256 = provenance.pop("weights_sha256")
    assert isinstance(sha256, str)
    assert len(sha256) == 64
    assert provenance == {
        "encoder": "mert",
        "revision": "1",
        "weights": "MERT-v1-330M",
        "weights_revision": "unrecorded",
        "sample_rate_hz": 24_000,
        "normalize": False,
        "pooling": f"last layer's mean over time, of chunks of {CHUNK_S * 24_000} samples weighted by length",
        "dtype": "float32",
    }


def test_is_rebuilt_from_its_provenance(folder: Path) -> None:
    recorded = json.loads(json.dumps(load_stack(["mert"], SignalPath(train16k=True)).provenance()))
    stack = stack_from_provenance(recorded, "cpu")
    assert stack.layout.names == ("mert",)
    assert stack.path == SignalPath()
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor | {"do_normalize": True}))
    with pytest.raises(ValueError, match=r"mert\.normalize: recorded False, this version makes True"):
        stack_from_provenance(recorded, "cpu")


def test_safetensors_do_as_well(folder: Path) -> None:
    (encoder,), _ = make(SignalPath(), Compute())
    state = folder / "pytorch_model.bin"
    save_file(read_state(state), folder / "model.safetensors")
    state.unlink()
    (other,), _ = make(SignalPath(), Compute())
    assert torch.equal(other.embed(clip(noise(2000))), encoder.embed(clip(noise(2000))))


def test_missing_weights_say_how_to_get_them(folder: Path) -> None:
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is not there; get it with: tunejury encoders fetch mert"):
        make(SignalPath(), Compute())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("encoder.layers.0.attention.q_proj.bias"), "1 missing: encoder.layers.0.attention.q"),
        (lambda state: state.update(lm_head=torch.ones(1)), "1 left over: lm_head"),
        (
            lambda state: state.update({"encoder.layer_norm.bias": torch.ones(2)}),
            r"1 of another shape: encoder.layer_norm.bias \(2,\), expected \(48,\)",
        ),
    ],
)
def test_weights_of_others_are_refused(change: Callable[[dict[str, Tensor]], None], message: str) -> None:
    state = build(NARROW)
    change(state)
    with pytest.raises(ValueError, match=f"weights of mert: not those of this encoder; {message}"):
        MertNetwork.load(CONFIG, state, Compute())


def test_loading_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    MertNetwork.load(CONFIG, build(NARROW), Compute())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("samples", "lengths"),
    [
        (1, [400]),
        (399, [400]),
        (400, [400]),
        (6000, [6000]),
        (6399, [6399]),
        (6400, [6000, 400]),
        (12_000, [6000, 6000]),
        (12_399, [6000, 6399]),
        (13_000, [6000, 6000, 1000]),
    ],
)
def test_chunks_cover_the_clip(samples: int, lengths: list[int]) -> None:
    heard = torch.arange(1.0, samples + 1)
    windows = MertFraming(False, 400, 6000).windows(clip(heard))
    assert [len(window) for window in windows] == lengths
    joined = torch.cat(windows)
    assert torch.equal(joined[:samples], heard)
    assert not joined[samples:].any()


def test_clips_up_to_a_minute_are_whole() -> None:
    framing = MertFraming(False, 400)
    assert [len(w) for w in framing.windows(clip(torch.zeros(CHUNK_S * RATE_HZ)))] == [CHUNK_S * RATE_HZ]
    assert pickle.loads(pickle.dumps(framing)) == framing


def test_a_clip_is_normalised_before_it_is_cut() -> None:
    samples = 5 + noise(10_000).double()
    windows = MertFraming(True, 400, 6000).windows(clip(samples))
    joined, variance = torch.cat(windows), samples.var(unbiased=False)
    assert len(windows) == 2
    assert abs(joined.mean()) < 1e-12
    assert torch.allclose(joined.var(unbiased=False), variance / (variance + 1e-7), rtol=1e-12)
    assert abs(windows[0].mean()) > 1e-6


def test_two_equal_chunks_are_worth_one(network: MertNetwork) -> None:
    chunk = noise(6000)
    once, twice = (narrow(network).embed(clip(samples)) for samples in (chunk, chunk.repeat(2)))
    assert torch.allclose(once, twice, rtol=0, atol=1e-6)


def test_chunks_count_by_their_length(network: MertNetwork) -> None:
    first, last = noise(6000), noise(2000, seed=1)
    encoder = narrow(network)
    apart = [encoder.embed(clip(samples)) for samples in (first, last)]
    assert torch.allclose(encoder.embed(clip(torch.cat([first, last]))), 0.75 * apart[0] + 0.25 * apart[1], atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours(network: MertNetwork) -> None:
    rows = torch.stack([noise(6000, seed=seed, rms=10.0**-seed) for seed in range(3)])
    together = network(rows)
    assert torch.equal(network(rows), together)
    for row, embedding in zip(rows, together, strict=True):
        assert torch.allclose(network(row[None])[0], embedding, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("samples", [torch.zeros(1), torch.ones(1), torch.zeros(3000), 0.5 * torch.ones(3000)])
def test_the_shortest_and_the_most_silent_clips(network: MertNetwork, normalize: bool, samples: Tensor) -> None:
    samples = samples.clone().requires_grad_()
    embedding = narrow(network, normalize).embed(clip(samples))
    (gradient,) = torch.autograd.grad(embedding.sum(), samples)
    assert embedding.isfinite().all()
    assert gradient.isfinite().all()


def test_other_channels_and_rates(network: MertNetwork) -> None:
    embedding = narrow(network, normalize=True).embed(Waveform(noise(8, 3000), 8000))
    assert embedding.shape == (48,)
    assert embedding.isfinite().all()


def test_the_switches_of_clap_change_nothing(folder: Path) -> None:
    heard = Waveform(3 * noise(1, 20_000), 44_100)
    (plain,), _ = make(SignalPath(), Compute())
    (other,), _ = make(SignalPath("first", train16k=True, int16=True), Compute())
    assert torch.equal(other.embed(heard), plain.embed(heard))
    assert other.provenance() == plain.provenance()


@pytest.mark.parametrize("normalize", [True, False])
def test_gradients_are_finite_differences(double: MertNetwork, normalize: bool) -> None:
    samples, along = noise(7000).double().requires_grad_(), noise(7000, seed=1).double()
    probe = noise(48, seed=2, rms=1.0).double()

    def component(moved: Tensor) -> Tensor:
        return narrow(double, normalize).embed(clip(moved)) @ probe

    (gradient,) = torch.autograd.grad(component(samples), samples)
    with torch.no_grad():
        step = 1e-5
        difference = (component(samples + step * along) - component(samples - step * along)) / (2 * step)
    assert abs(difference - gradient @ along) <= 1e-6 * abs(difference)


def test_autocast_moves_the_embedding_a_little(network: MertNetwork) -> None:
    coarse = MertNetwork(network.model, Compute(autocast=True))
    exact, rounded = network(noise(1, 6000)), coarse(noise(1, 6000))
    assert rounded.dtype == torch.float32
    assert 1e-5 < (rounded - exact).abs().max() < 0.1
