"""Generators by name: every backbone as its card says, and refusals that say what to do."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from feature_export.encoders.compute import Compute
from tests.tiny_generators import musicgen as tiny_musicgen
from tunejury_jax.applications.generators.cards import CARDS, Card, card_of
from tunejury_jax.applications.generators.loading import digest_of
from tunejury_jax.applications.generators.protocol import DifferentiableGenerator, Generator, TrainableGenerator
from tunejury_jax.applications.generators.recipes import DiffusionRecipe, TokenRecipe
from tunejury_jax.applications.generators.registry import load_generator

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # of diffusers

BACKBONES = [card for card in CARDS.values() if card.module and card.name != "musicgen-large"]
DURATION_S = 0.3


@pytest.fixture(autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights are looked for, once a session: tiny ones of every backbone that was asked for."""
    root = tmp_path_factory.getbasetemp() / "weights-of-generators"
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(root))
    return root


def written(card: Card) -> Path:
    if not card.folder.is_dir():
        importlib.import_module(f"tests.tiny_generators.{card.module}").write(card.folder)
    return card.folder


@pytest.fixture
def musicgen() -> Path:
    return written(card_of("musicgen-medium"))


@pytest.mark.parametrize("card", BACKBONES, ids=lambda card: card.name)
def test_a_backbone_is_what_its_card_says(card):
    written(card)
    assert card.missing(card.folder) == []
    generator = load_generator(card.name, card.differentiable or "own", **_few_steps(card))
    assert generator.name == card.name
    assert isinstance(generator, Generator)
    assert isinstance(generator, DifferentiableGenerator) == (card.differentiable is not None)
    assert isinstance(generator, TrainableGenerator) == card.trainable
    clips = generator.generate(["calm piano"], [1], DURATION_S)
    assert clips.shape == (1, card.channels, round(DURATION_S * generator.sample_rate_hz))
    assert clips.dtype == torch.float32
    said = generator.provenance()
    assert json.loads(json.dumps(said)) == said
    assert said["weights"] == {"sha256": digest_of(card.folder)}


def _few_steps(card: Card) -> dict[str, int]:
    return {"steps": 2} if isinstance(card.recipes["own"], DiffusionRecipe) else {}


RECIPES = [(card, name) for card in BACKBONES for name in card.recipes if name != (card.differentiable or "own")]


@pytest.mark.parametrize(("card", "recipe"), RECIPES, ids=[f"{card.name}-{name}" for card, name in RECIPES])
def test_the_other_recipes_of_a_card_can_be_loaded_too(card, recipe):
    written(card)
    assert load_generator(card.name, recipe).recipe == card.recipes[recipe]


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_cards_are_whole(card):
    assert next(iter(card.recipes)) == "own"
    assert any(card.repository in command for command in card.commands)
    assert card.differentiable is None or card.differentiable in card.recipes
    assert "{" not in card.how_to_get(Path("here"))
    assert ("hf auth login" in card.how_to_get(Path("here"))) == card.gated


def test_missing_weights_say_what_to_download_and_whose_they_are(tmp_path):
    with pytest.raises(ValueError, match=r"lacks config\.json, tokenizer\.json") as caught:
        load_generator("musicgen-medium", weights=tmp_path)
    assert "CC-BY-NC-4.0" in str(caught.value)
    assert f"\nhf download facebook/musicgen-medium --local-dir {tmp_path}" in str(caught.value)
    with pytest.raises(ValueError, match=r"Accept its terms on huggingface\.co/stabilityai.*hf auth login") as caught:
        load_generator("stable-audio-open-small", weights=tmp_path)
    assert "hf download google-t5/t5-base" in str(caught.value)


def test_weights_that_are_there_in_part(musicgen, tmp_path):
    (tmp_path / "config.json").write_bytes((musicgen / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"lacks tokenizer.json, \*model\*.safetensors or pytorch_model"):
        load_generator("musicgen-medium", weights=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("tango-flux", {}, "did you mean 'tangoflux'"),
        ("tangoflux", {"recipe": "papers"}, "accepted are 'own', 'paper'"),
        ("musicgen-medium", {"steps": 8}, "steps: musicgen-medium draws tokens"),
        ("tangoflux", {"steps": 0}, "steps: got 0"),
        ("tangoflux", {"guidance": -1.0}, "guidance: got -1"),
        ("fluxaudio-s", {}, "runs as a worker only"),
        ("worker:any.json", {"steps": 8, "recipe": "paper"}, "steps, recipe: a worker has its own"),
        ("worker:no-such.json", {}, "no-such.json is not there"),
    ],
)
def test_what_does_not_go_together_is_refused(name, options, told):
    with pytest.raises(ValueError, match=told):
        load_generator(name, **options)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: TokenRecipe(guidance=3.0, top_k=0), "top_k: got 0"),
        (lambda: TokenRecipe(guidance=float("nan"), top_k=1), "guidance: got nan"),
        (lambda: TokenRecipe(guidance=3.0, top_k=1, temperature=0.0), "temperature: got 0"),
    ],
)
def test_impossible_recipes_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_steps_and_guidance_change_the_recipe_and_the_provenance(musicgen):
    own = load_generator("musicgen-medium")
    other = load_generator("musicgen-medium", guidance=2.0, compute=Compute(autocast=True))
    assert other.provenance() == {
        **own.provenance(),
        "recipe": {**own.provenance()["recipe"], "guidance": 2.0},
        "dtype": "bfloat16 autocast",
    }


def test_tuned_weights_replace_the_published_ones_and_are_told(musicgen, tmp_path):
    own = load_generator("musicgen-medium")
    tuned = tiny_musicgen.build(seed=1).decoder.state_dict()
    save_file({key: value.contiguous() for key, value in tuned.items()}, tmp_path / "tuned.safetensors")
    other = load_generator("musicgen-medium", tuned=tmp_path / "tuned.safetensors")
    assert not torch.allclose(*(each.generate(["a"], [1], 0.2) for each in (own, other)), atol=1e-3)
    for key, value in other.trained.state_dict().items():
        torch.testing.assert_close(value, tuned[key], rtol=0, atol=0)
    said = dict(other.provenance()["weights"])
    assert len(said.pop("tuned_sha256")) == 64
    assert said == own.provenance()["weights"]


def test_tuned_weights_of_something_else_are_refused(musicgen, tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors.*missing"):
        load_generator("musicgen-medium", tuned=tmp_path / "other.safetensors")
    written(card_of("audioldm2-music"))
    with pytest.raises(ValueError, match="audioldm2-music cannot be fine-tuned"):
        load_generator("audioldm2-music", tuned=tmp_path / "other.safetensors")


def test_the_digest_follows_the_files(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.safetensors").write_bytes(b"one")
    first = digest_of(tmp_path)
    (tmp_path / "README.md").write_text("changed")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.json").write_text("{}")
    assert digest_of(tmp_path) == first
    (tmp_path / "unet" / "model.safetensors").rename(tmp_path / "model.safetensors")
    assert digest_of(tmp_path) != first
