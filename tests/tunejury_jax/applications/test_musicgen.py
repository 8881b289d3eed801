"""MusicGen against transformers' own: what it draws, what it learns from, and that a clip is its own."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import MusicgenForConditionalGeneration

from feature_export.encoders.compute import Compute
from tests.tiny_generators import musicgen as tiny
from tests.tiny_generators.tokenizers import t5_tokenizer
from tunejury_jax.applications.generators.musicgen import PROMPT_DROPOUT, RECIPES, MusicGen, load
from tunejury_jax.applications.generators.protocol import DifferentiableGenerator, Generator, TrainableGenerator
from tunejury_jax.applications.generators.recipes import DiffusionRecipe, TokenRecipe

PROMPTS = ["calm piano", "a much longer prompt, of many more words", ""]
OWN = RECIPES["own"]


@pytest.fixture(scope="module")
def model() -> MusicgenForConditionalGeneration:
    return tiny.build().requires_grad_(False)


def made_of(model: MusicgenForConditionalGeneration, recipe: TokenRecipe = OWN, **options: object) -> MusicGen:
    return MusicGen(model, t5_tokenizer(), recipe, Compute(), **options)


@pytest.fixture(scope="module")
def generator(model: MusicgenForConditionalGeneration) -> MusicGen:
    return made_of(model)


def kept_draws(count: int) -> torch.Generator:
    """Draws that drop no prompt."""
    for seed in range(1000):
        if (torch.rand(count, generator=torch.Generator().manual_seed(seed)) >= PROMPT_DROPOUT).all():
            return torch.Generator().manual_seed(seed)
    raise AssertionError("no such seed")


def tokens(batch: int, frames: int = 20) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, tiny.TOKENS, (batch, 4, frames)))


@pytest.mark.parametrize(
    "recipe", [OWN, TokenRecipe(guidance=1.0, top_k=10), TokenRecipe(guidance=2.0, top_k=5, temperature=1.7)], ids=str
)
def test_a_clip_is_what_transformers_draws_for_it_alone(model, recipe):
    """On the CPU bit for bit: its generate takes the same numbers from a stream that is seeded the same."""
    prompt, seed = PROMPTS[1], 7
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        theirs = model.generate(
            **t5_tokenizer()([prompt], return_tensors="pt"),
            do_sample=True,
            guidance_scale=recipe.guidance,
            top_k=recipe.top_k,
            temperature=recipe.temperature,
            max_new_tokens=25 + 3,
        )
    torch.testing.assert_close(made_of(model, recipe).generate([prompt], [seed], 0.5), theirs, rtol=0, atol=0)


def test_a_clip_follows_from_its_own_prompt_and_seed(generator):
    together = generator.generate(PROMPTS, [3, 4, 3], 0.5)
    for row, (prompt, seed) in enumerate(zip(PROMPTS, [3, 4, 3], strict=True)):
        torch.testing.assert_close(generator.generate([prompt], [seed], 0.5)[0], together[row], rtol=0, atol=1e-6)
    assert not torch.allclose(*generator.generate(["calm"] * 2, [1, 2], 0.5), atol=1e-3)
    assert not torch.allclose(*generator.generate(["calm", "loud"], [1, 1], 0.5), atol=1e-3)


@pytest.mark.parametrize("duration_s", [0.001, 0.333, 1.0])
def test_clips_are_as_long_as_asked(generator, duration_s):
    clips = generator.generate(["calm"], [1], duration_s)
    assert clips.shape == (1, 1, round(duration_s * 32000))
    assert clips.dtype == torch.float32
    assert clips.isfinite().all()


def test_an_empty_prompt_leaves_nothing_to_guide(model, generator):
    unguided = made_of(model, replace(OWN, guidance=1.0))
    guided = generator.generate([""], [5], 0.5)
    torch.testing.assert_close(guided, unguided.generate([""], [5], 0.5), rtol=0, atol=1e-6)
    assert not torch.allclose(guided, generator.generate(["calm"], [5], 0.5), atol=1e-3)


def test_a_longer_clip_begins_as_a_shorter_one(generator):
    """Tokens are drawn from the front; only the last three frames already hear that the first rows have ended."""
    short, long = (generator._draw(["calm"], [5], frames) for frames in (10, 20))
    assert torch.equal(short[..., :7], long[..., :7])


def test_it_can_generate_and_be_trained_but_has_no_noise(generator):
    assert isinstance(generator, Generator)
    assert isinstance(generator, TrainableGenerator)
    assert not isinstance(generator, DifferentiableGenerator)
    assert generator.sample_rate_hz == 32000


@pytest.mark.parametrize(
    ("prompts", "seeds", "duration_s", "told"),
    [
        (["a"], [1, 2], 1.0, "1 prompts and 2 seeds"),
        ([], [], 1.0, "0 prompts"),
        (["a"], [-1], 1.0, "got -1"),
        (["a"], [1], 31.0, "got 31.0, accepted are lengths above 0 and up to 30 s"),
        (["a"], [1], math.nan, "got nan"),
    ],
)
def test_what_cannot_be_made_is_refused(generator, prompts, seeds, duration_s, told):
    with pytest.raises(ValueError, match=told):
        generator.generate(prompts, seeds, duration_s)


def test_a_recipe_of_steps_is_refused(model):
    with pytest.raises(ValueError, match="draws tokens, got 8 steps euler"):
        MusicGen(model, t5_tokenizer(), DiffusionRecipe(steps=8, guidance=1.0), Compute())


def test_saved_and_loaded_it_draws_the_same(model, generator, tmp_path):
    tiny.write(tmp_path)
    loaded = load(tmp_path, OWN, Compute(), "musicgen-medium")
    torch.testing.assert_close(
        loaded.generate(["calm"], [1], 0.5), generator.generate(["calm"], [1], 0.5), rtol=0, atol=1e-6
    )
    assert loaded.provenance()["generator"] == "musicgen-medium"
    assert not any(parameter.requires_grad for parameter in loaded.trained.parameters())


def test_missing_weights_are_not_made_up(tmp_path, model):
    """transformers itself fills them with random numbers and warns."""
    tiny.write(tmp_path)
    from safetensors.torch import load_file, save_file

    state = load_file(tmp_path / "model.safetensors")
    del state["decoder.lm_heads.1.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 missing keys: decoder\.lm_heads\.1\.weight"):
        load(tmp_path, OWN, Compute(), "musicgen-medium")
    (tmp_path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="cannot be read"):
        load(tmp_path, OWN, Compute(), "musicgen-medium")


def test_examples_are_the_tokens_of_the_clip(generator, model):
    clips = 0.3 * torch.randn(2, 2, 8820, generator=torch.Generator().manual_seed(0))
    examples = generator.encode(clips, 44100)
    assert examples.shape == (2, 4, 10)
    alone = generator.encode(clips[1:], 44100)
    assert torch.equal(examples[1:], alone)
    mono = generator.encode(clips.mean(dim=1, keepdim=True), 44100)
    assert torch.equal(examples, mono)
    ready = generator.generate(["calm"], [1], 0.2)
    theirs = model.audio_encoder.encode(ready).audio_codes[0]
    assert torch.equal(generator.encode(ready, 32000), theirs)


def test_the_loss_is_that_of_transformers():
    """Its own training forward, on labels delayed by its own function, in float64."""
    model = tiny.build().double()
    examples, prompts = tokens(2), PROMPTS[:2]
    ours = made_of(model).loss(examples, prompts, kept_draws(2))
    start = torch.full((2, 4, 1), tiny.TOKENS)
    _, late = model.decoder.build_delay_pattern_mask(
        torch.cat([start, examples], dim=2).flatten(0, 1), tiny.TOKENS, max_length=examples.shape[2] + 4
    )
    labels = late.view(2, 4, -1)[..., 1:].transpose(1, 2)
    inputs = t5_tokenizer()(prompts, padding=True, return_tensors="pt")
    model.config.decoder.decoder_start_token_id = tiny.TOKENS  # as who trains with transformers has to
    torch.testing.assert_close(ours, model(**inputs, labels=labels).loss, rtol=1e-12, atol=0)


def test_the_loss_is_the_mean_over_rows_of_the_mean_over_their_tokens():
    """Counted out from the logits, in float64; each row of a clip begins a step later."""
    model = tiny.build().double()
    examples, prompts = tokens(2, frames=6), PROMPTS[:2]
    ours = made_of(model).loss(examples, prompts, kept_draws(2))
    late = np.full((2, 4, 9), tiny.TOKENS)
    for row in range(4):
        late[:, row, row : row + 6] = examples[:, row].numpy()
    given = np.concatenate([np.full((2, 4, 1), tiny.TOKENS), late[:, :, :-1]], axis=2)
    inputs = t5_tokenizer()(prompts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs, decoder_input_ids=torch.from_numpy(given).flatten(0, 1)).logits
    chances = logits.view(2, 4, 9, -1).log_softmax(-1).numpy()
    rows = [
        np.mean([-chances[clip, row, row + t, examples[clip, row, t]] for clip in range(2) for t in range(6)])
        for row in range(4)
    ]
    np.testing.assert_allclose(ours.item(), np.mean(rows), rtol=1e-7)  # rows are added up in float32


def test_a_dropped_prompt_is_an_empty_one_and_as_many_as_drawn(generator):
    examples = tokens(1)
    told, untold = (generator.loss(examples, [prompt], kept_draws(1)) for prompt in ("calm", ""))
    losses = [generator.loss(examples, ["calm"], torch.Generator().manual_seed(seed)) for seed in range(40)]
    dropped = [bool(torch.isclose(loss, untold, rtol=1e-6)) for loss in losses]
    kept = [bool(torch.isclose(loss, told, rtol=1e-6)) for loss in losses]
    assert [not drop for drop in dropped] == kept
    assert 0.05 < np.mean(dropped) < 0.4


def test_all_that_is_random_in_training_comes_from_the_draws():
    """Dropout of transformers takes torch's own stream, which is neither read nor moved."""
    generator = made_of(tiny.build())
    generator.trained.train()
    before = torch.random.get_rng_state()
    first, again, other = (
        generator.loss(tokens(2), PROMPTS[:2], torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, again)
    generator.trained.eval()
    undropped = generator.loss(tokens(2), PROMPTS[:2], torch.Generator().manual_seed(0))
    assert not torch.allclose(first, undropped)
    assert not torch.allclose(first, other)


def test_training_moves_the_decoder_alone_and_lowers_the_loss():
    model = tiny.build().requires_grad_(False)
    generator = made_of(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generator.trained.requires_grad_(True)
    optimiser = torch.optim.AdamW(generator.trained.parameters(), lr=1e-2)
    examples, losses = tokens(2), []
    for _ in range(8):
        loss = generator.loss(examples, ["calm", "loud"], torch.Generator().manual_seed(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(key.startswith("decoder.") for key in moved)


def test_autocast_draws_other_tokens_but_is_repeatable(model):
    fast = MusicGen(model, t5_tokenizer(), OWN, Compute(autocast=True))
    assert fast.provenance()["dtype"] == "bfloat16 autocast"
    clips = fast.generate(["calm"], [1], 0.5)
    assert clips.dtype == torch.float32
    torch.testing.assert_close(clips, fast.generate(["calm"], [1], 0.5), rtol=0, atol=0)
