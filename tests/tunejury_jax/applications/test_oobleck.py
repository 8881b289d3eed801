"""Decoding the start of latents, and clips as examples, on a tiny autoencoder with the published strides."""

import pytest
import torch

from feature_export.encoders.compute import Compute
from tunejury_jax.applications.generators.oobleck import (
    as_examples,
    decode_first,
    from_examples,
    latents_reached,
    new_autoencoder,
)

CPU = Compute()
HOP = 2048


@pytest.fixture(scope="module")
def autoencoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (
            new_autoencoder(encoder_hidden_size=8, decoder_channels=4, decoder_input_channels=4)
            .eval()
            .requires_grad_(False)
        )


def latents(count, seed=0):
    return torch.randn(2, 4, count, generator=torch.Generator().manual_seed(seed))


def kept_bytes(make):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.nbytes) or tensor, lambda tensor: tensor
    ):
        make()
    return sum(kept)


@pytest.mark.parametrize("samples", [1, 2048, 11_025, 24 * HOP])
def test_the_start_is_that_of_the_whole(autoencoder, samples):
    whole = autoencoder.decode(latents(24)).sample
    start = decode_first(autoencoder, latents(24), samples, CPU)
    assert start.shape == (2, 2, samples)
    torch.testing.assert_close(start, whole[..., :samples], rtol=0, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 2049, 11_025])
def test_the_reach_is_what_gradients_say(autoencoder, samples):
    given = latents(24)[:1].double().requires_grad_()
    clip = autoencoder.double().decode(given).sample
    autoencoder.float()
    (gradient,) = torch.autograd.grad(clip[..., :samples].square().sum(), given)
    touched = gradient.abs().amax((0, 1)).nonzero()
    assert latents_reached(autoencoder.decoder, samples) == int(touched.max()) + 1


def test_published_strides_reach_nine_latents_ahead(autoencoder):
    assert latents_reached(autoencoder.decoder, 441_000) == 216 + 9


def test_what_is_not_reached_is_not_needed_and_what_is_reached_is(autoencoder):
    given, reached = latents(24), latents_reached(autoencoder.decoder, 11_025)
    expected = decode_first(autoencoder, given, 11_025, CPU)
    given[..., reached:] = 1e6
    assert torch.equal(decode_first(autoencoder, given, 11_025, CPU), expected)
    given[..., reached - 1] = 1e6
    assert not torch.equal(decode_first(autoencoder, given, 11_025, CPU), expected)


def test_less_is_kept_for_the_way_back_and_gradients_stay(autoencoder):
    given = latents(24)[:1].requires_grad_()
    samples = 2205
    whole = kept_bytes(lambda: autoencoder.decode(given).sample[..., :samples])
    cropped = kept_bytes(lambda: autoencoder.decode(given[..., :11]).sample[..., :samples])
    start = kept_bytes(lambda: decode_first(autoencoder, given, samples, CPU))
    assert cropped < 0.5 * whole
    assert start < 0.4 * cropped
    (found,) = torch.autograd.grad(decode_first(autoencoder, given, samples, CPU).square().sum(), given)
    (expected,) = torch.autograd.grad(autoencoder.decode(given).sample[..., :samples].square().sum(), given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_examples_are_mean_latents_and_seconds(autoencoder):
    clips = 0.1 * torch.randn(2, 2, 4410, generator=torch.Generator().manual_seed(1))
    examples = as_examples(autoencoder, clips, 44_100, 4 * HOP, CPU)
    found, seconds = from_examples(examples)
    padded = torch.nn.functional.pad(clips, (0, 4 * HOP - 4410))
    torch.testing.assert_close(found, autoencoder.encode(padded).latent_dist.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(seconds, torch.tensor([0.1, 0.1]))


def test_mono_is_on_both_channels_and_rates_are_converted(autoencoder):
    mono = 0.1 * torch.randn(1, 1, 2205, generator=torch.Generator().manual_seed(1))
    stereo = as_examples(autoencoder, mono.expand(-1, 2, -1), 44_100, 2 * HOP, CPU)
    assert torch.equal(as_examples(autoencoder, mono, 44_100, 2 * HOP, CPU), stereo)
    assert from_examples(as_examples(autoencoder, mono, 22_050, 3 * HOP, CPU))[1].item() == pytest.approx(0.1)


def test_clips_that_are_no_examples_are_refused(autoencoder):
    with pytest.raises(ValueError, match="waves: got 3 channels, accepted are 1 and 2"):
        as_examples(autoencoder, torch.zeros(1, 3, 100), 44_100, HOP, CPU)
    with pytest.raises(ValueError, match=r"waves: got 0.1 s, accepted are .* up to 0.0464"):
        as_examples(autoencoder, torch.zeros(1, 2, 4410), 44_100, HOP, CPU)
