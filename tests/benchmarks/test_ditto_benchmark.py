"""The benchmark of DITTO: every variant makes the same gradient, and its bytes are counted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytestmark = [
    pytest.mark.slow(reason="diffusers takes seconds to import"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),  # of diffusers' imports
]


def test_every_variant_and_batch_is_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import measure
    from benchmarks.ditto import DittoBenchmark, main

    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    main(DittoBenchmark(steps=1, duration_s=0.3, batches=(1, 2), rounds=1))
    found = json.loads((tmp_path / "benchmarks" / "results" / "ditto_tiny.json").read_text())["measured"]
    assert found.keys() == {"tangoflux", "audioldm2-music"}
    assert set(found["tangoflux"]["variants"]) == {"plain", "cropped", "checkpointed", "checkpointed+cropped"}
    assert set(found["audioldm2-music"]["variants"]) == {"cropped", "checkpointed+cropped"}
    kept = {name: row["kept_bytes"] for name, row in found["tangoflux"]["variants"].items()}
    assert kept["plain"] > kept["cropped"] > kept["checkpointed+cropped"]
    assert kept["plain"] > kept["checkpointed"] >= kept["checkpointed+cropped"]
    for backbone in found.values():
        one, two = (backbone["batches"][f"batch {batch}"]["kept_bytes"] for batch in (1, 2))
        assert one < two < 3 * one
    assert "tangoflux, plain: kept " in capsys.readouterr().out


def test_an_unknown_variant_or_backbone_is_refused() -> None:
    from benchmarks.ditto import DittoBenchmark

    with pytest.raises(ValueError, match="variants: got 'cut', accepted are "):
        DittoBenchmark(variants=("cut",))
    with pytest.raises(ValueError, match="backbones: got 'tango', accepted are 'tangoflux'"):
        DittoBenchmark(backbones=("tango",))


def test_what_is_kept_is_counted_once_and_without_weights() -> None:
    from benchmarks.ditto import _Saved

    network = torch.nn.Linear(5, 7).requires_grad_(False)
    saved, x = _Saved(network), torch.ones(3, 5, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        y = network(x).exp()  # keeps itself
        total = (y * y).sum() + y[:1].sin().sum()  # keep it again, and a view of it
    del total
    assert saved.bytes == 4 * 3 * 7


def test_variants_make_one_gradient() -> None:
    from benchmarks.ditto import BEST, VARIANTS, DittoBenchmark, _Iteration, _reward
    from benchmarks.random_generators import make_tiny
    from feature_export.encoders.compute import Compute
    from tunejury_jax.applications.generators.recipes import DiffusionRecipe

    generator = make_tiny("tangoflux", DiffusionRecipe(2, 1.0), Compute())
    first = _Iteration(generator, _reward(DittoBenchmark()), 0.5, 1, BEST)
    gradients = []
    for variant in VARIANTS.values():
        iteration = replace(first, variant=variant)
        with iteration._patched():
            noise, rewards = iteration.score()
            gradients.append(torch.autograd.grad(rewards.sum(), noise)[0])
    # A duration is told to the network, so clips that are rendered longer are others.
    torch.testing.assert_close(gradients[0], gradients[2], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(gradients[1], gradients[3], atol=1e-6, rtol=1e-4)
    assert gradients[0].abs().max() > 1e-5
