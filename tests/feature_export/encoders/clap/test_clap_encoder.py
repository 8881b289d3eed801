"""CLAP's two encoders: the numbers of laion-clap, and the laws that any clip and prompt obey."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close
from torch import Tensor

from feature_export.audio import SignalPath, Waveform
from feature_export.encoders import FAMILIES, AudioEncoder, Compute, TextEncoder, WindowedEncoder, load_stack
from feature_export.encoders.clap import make
from feature_export.encoders.clap.encoder import ClapAudio, ClapText
from feature_export.encoders.registry import stack_from_provenance
from tests.oracles.signals import direction, music_like
from tests.tiny_weights import clap as tiny

GOLDEN = np.load(Path(__file__).parents[3] / "golden" / "clap.npz", allow_pickle=False)
RATE_HZ, WINDOW, DIM = 48_000, 480_000, 512
PARITY = 1e-6


def clip(samples: int, seed: int) -> Tensor:
    return torch.from_numpy(music_like(samples, RATE_HZ, seed))[None]


def wave(samples: Tensor) -> Waveform:
    return Waveform(samples, RATE_HZ)


def made(**switches: object) -> ClapAudio:
    (audio,), _ = make(SignalPath.of(switches), Compute())
    return audio


def test_golden_files_are_of_these_weights() -> None:
    digest = hashlib.sha256()
    for key, value in sorted(tiny.build().items()):
        digest.update(key.encode() + value.numpy().tobytes())
    assert str(GOLDEN["weights_sha256"]) == digest.hexdigest(), "write them again: python -m tests.oracles clap"


@pytest.mark.parametrize(
    ("name", "samples", "seed"), [("short", 144_000, 0), ("exact", WINDOW, 1), ("middle", 1_200_000, 2)]
)
def test_audio_equals_the_package(audio: ClapAudio, name: str, samples: int, seed: int) -> None:
    found = audio.embed(wave(clip(samples, seed)))
    assert_close(found.numpy(), GOLDEN[f"audio_{name}"][0], PARITY)


def test_a_crop_at_random_equals_the_package_given_its_place(audio: ClapAudio) -> None:
    start = int(GOLDEN["audio_long_start"])
    found = audio.embed(wave(clip(1_200_000, 2)[:, start : start + WINDOW]))
    assert_close(found.numpy(), GOLDEN["audio_long"][0], PARITY)


def test_a_batch_equals_the_package(audio: ClapAudio) -> None:
    found = audio.embed_windows(torch.cat([clip(WINDOW, 6), clip(WINDOW, 7)]))
    assert_close(found.numpy(), GOLDEN["audio_pair"], PARITY)


@pytest.mark.usefixtures("weights")
def test_switches_equal_the_package() -> None:
    overdriven = 3 * clip(144_000, 4)
    assert_close(made(int16=True).embed(wave(overdriven)).numpy(), GOLDEN["audio_int16"][0], PARITY)
    native = Waveform(torch.from_numpy(music_like(3 * 44_100, 44_100, 5))[None], 44_100)
    assert_close(made(train16k=True).embed(native).numpy(), GOLDEN["audio_16k"][0], PARITY)
    plain = made()
    for unswitched, golden in ((wave(overdriven), "audio_int16"), (native, "audio_16k")):
        assert np.abs(plain.embed(unswitched).numpy() - GOLDEN[golden][0]).max() > 100 * PARITY


def test_text_equals_the_package(text: ClapText) -> None:
    for prompt, golden in zip(GOLDEN["prompts"].tolist(), GOLDEN["text"], strict=True):
        assert_close(text.embed(prompt).numpy(), golden, PARITY)


def gradient(audio: ClapAudio, samples: Tensor) -> tuple[np.ndarray, float]:
    samples.requires_grad_()
    embedded = audio.embed(wave(samples))
    assert embedded.dtype == samples.dtype
    (found,) = torch.autograd.grad(embedded @ torch.from_numpy(direction(DIM)).to(embedded), samples)
    return found[0, ::97].numpy(), float(found.norm())


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected))


CLIPS = pytest.mark.parametrize(("name", "samples", "seed"), [("short", 144_000, 0), ("exact", WINDOW, 1)])


@CLIPS
@pytest.mark.usefixtures("weights")
def test_gradients_equal_the_package(name: str, samples: int, seed: int) -> None:
    audio = made()
    audio.network.model.double()
    found, norm = gradient(audio, clip(samples, seed).double())
    assert apart(found, GOLDEN[f"gradient64_{name}"]) < 1e-5
    assert norm == pytest.approx(float(GOLDEN[f"gradient64_{name}_norm"]), rel=1e-5)


@CLIPS
def test_gradients_in_float32_are_as_good_as_the_package(audio: ClapAudio, name: str, samples: int, seed: int) -> None:
    found, _ = gradient(audio, clip(samples, seed))
    exact = GOLDEN[f"gradient64_{name}"]
    assert apart(found, exact) < 1.2 * apart(GOLDEN[f"gradient_{name}"], exact) < 1e-4


@pytest.mark.usefixtures("weights")
def test_gradient_equals_differences() -> None:
    audio = made()
    audio.network.model.double()
    samples, towards = clip(9600, 3).double(), torch.from_numpy(direction(DIM)).double()
    (steepest,) = torch.autograd.grad(audio.embed(wave(samples.requires_grad_())) @ towards, samples)
    slope, step = steepest.norm(), 1e-4 * steepest / steepest.norm()
    with torch.no_grad():
        ahead, behind = (audio.embed(wave(moved)) @ towards for moved in (samples + step, samples - step))
    assert slope > 1e-3
    assert float((ahead - behind) / 2e-4) == pytest.approx(float(slope), rel=1e-4)


@pytest.mark.parametrize(
    ("samples", "sample_rate_hz"),
    [(torch.full((1, 1), 0.5), RATE_HZ), (torch.full((1, 1), 0.5), 8000), (clip(8000, 1).repeat(8, 1), 8000)],
    ids=["one sample", "one sample at 8 kHz", "8 channels"],
)
def test_any_clip_has_an_embedding_of_unit_length(audio: ClapAudio, samples: Tensor, sample_rate_hz: int) -> None:
    samples = samples.clone().requires_grad_()
    embedded = audio.embed(Waveform(samples, sample_rate_hz))
    assert embedded.shape == (DIM,)
    assert_close(embedded.detach().norm().numpy(), 1.0, 1e-6)
    (found,) = torch.autograd.grad(embedded[0], samples)
    assert found.isfinite().all()


def test_silence_is_finite_and_has_no_gradient(audio: ClapAudio) -> None:
    silence = torch.zeros(1, RATE_HZ, requires_grad=True)
    embedded = audio.embed(wave(silence))
    assert_close(embedded.detach().norm().numpy(), 1.0, 1e-6)
    (found,) = torch.autograd.grad(embedded[0], silence)
    assert (found == 0).all()


def test_a_clip_is_embedded_the_same_alone_and_among_others(audio: ClapAudio) -> None:
    windows = torch.cat([clip(WINDOW, seed) for seed in (1, 2, 3)])
    together = audio.embed_windows(windows)
    alone = torch.cat([audio.embed_windows(window[None]) for window in windows])
    assert_close(together.numpy(), alone.numpy(), PARITY)
    order = [2, 0, 1]
    assert_close(audio.embed_windows(windows[order]).numpy(), together[order].numpy(), PARITY)
    assert torch.equal(audio.embed_windows(windows), together)


def test_hears_neither_polarity_nor_channels(audio: ClapAudio) -> None:
    samples = clip(RATE_HZ, 4)
    plain = audio.embed(wave(samples))
    assert_close(audio.embed(wave(-samples)).numpy(), plain.numpy(), PARITY)
    assert_close(audio.embed(wave(samples.repeat(2, 1))).numpy(), plain.numpy(), PARITY)
    assert torch.dist(audio.embed(wave(0.5 * samples)), plain) > 1e-3


@pytest.mark.usefixtures("weights")
def test_windows_are_averaged_and_brought_to_unit_length() -> None:
    samples = clip(WINDOW + RATE_HZ, 5)
    audio = made(crop="windows")
    windows = audio.framing.windows(wave(samples))
    assert [len(window) for window in windows] == [WINDOW, WINDOW]
    assert torch.equal(windows[1], samples[0, RATE_HZ:])
    parts = [audio.embed_windows(window[None])[0] for window in windows]
    mean = (parts[0] + parts[1]) / 2
    assert mean.norm() < 0.9999
    assert_close(audio.embed(wave(samples)).numpy(), (mean / mean.norm()).numpy(), PARITY)


def test_prompts_have_unit_length_and_say_what_is_cut(text: ClapText) -> None:
    assert_close(text.embed("calm piano").norm().numpy(), 1.0, 1e-6)
    assert torch.equal(text.embed("calm piano"), text.embed("calm piano"))
    assert torch.dist(text.embed("calm piano"), text.embed("fast strings")) > 0.1
    long = "a" * 75
    assert text.cut_tokens(long) == 0
    assert text.cut_tokens(long + "xyz") == 3
    assert torch.equal(text.embed(long), text.embed(long + "xyz"))


@pytest.mark.usefixtures("weights")
def test_makes_what_it_says() -> None:
    family = FAMILIES["clap"]
    audio, text = family.make(SignalPath(train16k=True), Compute())
    assert tuple(encoder.block.name for encoder in (*audio, *text)) == family.blocks
    assert isinstance(audio[0], AudioEncoder)
    assert isinstance(audio[0], WindowedEncoder)
    assert isinstance(text[0], TextEncoder)
    for encoder in (*audio, *text):
        provenance = encoder.provenance()
        assert json.loads(json.dumps(provenance)) == provenance
        pinned = {"encoder", "revision", "weights", "weights_revision", "weights_sha256", "pooling", "dtype"}
        assert pinned <= set(provenance)
        assert "backend" not in provenance
        assert encoder.description
    switches = audio[0].provenance()["signal_path"]
    assert isinstance(switches, dict)
    assert switches["train16k"] is True


@pytest.mark.usefixtures("weights")
def test_a_stack_is_rebuilt_from_its_provenance() -> None:
    stack = load_stack(["clap"], SignalPath(crop="first"))
    again = stack_from_provenance(json.loads(json.dumps(stack.provenance())), "cpu")
    features = stack.embed(music_like(RATE_HZ, RATE_HZ, 0), RATE_HZ, "calm piano")
    assert {name: values.shape for name, values in features.items() if name != "signal"} == {
        "clap_audio": (DIM,),
        "clap_text": (DIM,),
    }
    for name, values in again.embed(music_like(RATE_HZ, RATE_HZ, 0), RATE_HZ, "calm piano").items():
        assert np.array_equal(values, features[name])
    assert not stack.embed_prompt(" \n")["clap_text"].any()


@pytest.mark.usefixtures("weights")
def test_bfloat16_is_near_and_is_told() -> None:
    (audio,), (text,) = make(SignalPath(), Compute(autocast=True))
    (exact,), (exact_text,) = make(SignalPath(), Compute())
    found = audio.embed(wave(clip(RATE_HZ, 1)))
    assert found.dtype == torch.float32
    assert 0.99 < float(found @ exact.embed(wave(clip(RATE_HZ, 1)))) < 0.999999
    assert 0.99 < float(text.embed("calm piano") @ exact_text.embed("calm piano")) < 0.999999
    assert audio.provenance()["dtype"] == text.provenance()["dtype"] == "bfloat16 autocast"


@pytest.fixture
def own_weights(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(weights, tmp_path / "clap")
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    return tmp_path / "clap"


def test_files_that_are_not_there_or_damaged(own_weights: Path) -> None:
    checkpoint = own_weights / tiny.CHECKPOINT
    (own_weights / "roberta-base" / "merges.txt").rename(own_weights / "merges.txt")
    with pytest.raises(ValueError, match=r"merges\.txt is not there; get it with: tunejury encoders fetch clap"):
        make(SignalPath(), Compute())
    checkpoint.write_bytes(checkpoint.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=f"{tiny.CHECKPOINT} is damaged"):
        make(SignalPath(), Compute())
    checkpoint.unlink()
    with pytest.raises(ValueError, match=f"{tiny.CHECKPOINT} is not there; get it with: tunejury encoders fetch clap"):
        make(SignalPath(), Compute())


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.target,)


def test_a_checkpoint_runs_no_code(own_weights: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": tiny.build(), "bomb": Bomb(tmp_path / "made")}, own_weights / tiny.CHECKPOINT)
    with pytest.raises(ValueError, match="is damaged, or holds more than weights"):
        make(SignalPath(), Compute())
    assert not (tmp_path / "made").exists()


def test_a_changed_file_changes_the_provenance(own_weights: Path) -> None:
    (audio,), (text,) = make(SignalPath(), Compute())
    merges = own_weights / "roberta-base" / "merges.txt"
    merges.write_text(merges.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    (same,), (other,) = make(SignalPath(), Compute())
    assert same.provenance() == audio.provenance()
    assert other.provenance()["weights_sha256"] != text.provenance()["weights_sha256"]
