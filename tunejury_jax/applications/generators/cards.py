"""What is published of each backbone: where, by whose licence, what it makes and what it can be used for.

Commits are those that public projects name or have in their caches; where none was found, none is pinned. What is said
here was not checked against the hub.
"""

from dataclasses import dataclass
from pathlib import Path

from feature_export.weights.folder import root
from tunejury_jax.applications.generators.recipes import DiffusionRecipe, Recipe, TokenRecipe
from tunejury_jax.errors import one_of

__all__ = ["CARDS", "Card", "card_of"]


@dataclass(frozen=True)
class Card:
    """What to know of a backbone.

    Attributes:
        name: What users call it.
        title: What its authors call it.
        repository: On the Hugging Face hub, `owner/name`.
        licence: Of the weights, as their card states it.
        sample_rate_hz: Of its clips.
        channels: Of its clips.
        longest_s: The longest clip it makes, in seconds.
        recipes: By name; `own`, the one that it was published with, is the first.
        files: What its folder holds at least: patterns, some with another one after "or".
        commands: What fetches its weights; `{folder}` stands for where they go.
        module: Of this package, that runs it; None where only a worker does.
        gated: Whether the hub wants the terms accepted on the model's page, and a token.
        differentiable: The recipe by which its clips have gradients back to noise; None where none does.
        trainable: Whether it can be fine-tuned here.
    """

    name: str
    title: str
    repository: str
    licence: str
    sample_rate_hz: int
    channels: int
    longest_s: float
    recipes: dict[str, Recipe]
    files: tuple[str, ...]
    commands: tuple[str, ...]
    module: str | None
    gated: bool = False
    differentiable: str | None = None
    trainable: bool = False

    @property
    def folder(self) -> Path:
        """Where its weights are looked for."""
        return root() / "generators" / self.name

    def missing(self, folder: Path) -> list[str]:
        """Those of its files that a folder does not hold."""
        return [file for file in self.files if not any(any(folder.glob(one)) for one in file.split(" or "))]

    def how_to_get(self, folder: Path) -> str:
        """What to do to have its weights in a folder, a line each."""
        terms = f"Accept its terms on huggingface.co/{self.repository} (gated), then: hf auth login"
        commands = [command.format(folder=folder) for command in self.commands]
        return "\n".join([terms, *commands] if self.gated else commands)


_MUSICGEN_RECIPES: dict[str, Recipe] = {"own": TokenRecipe(guidance=3.0, top_k=250)}
_MUSICGEN_FILES = ("config.json", "tokenizer.json", "*model*.safetensors or pytorch_model*.bin")
_AUDIOLDM2_PARTS = ("language_model", "projection_model", "text_encoder", "text_encoder_2", "unet", "vae", "vocoder")

_CARDS = (
    Card(
        name="musicgen-medium",
        title="MusicGen medium, 1.5 B",
        repository="facebook/musicgen-medium",
        licence="CC-BY-NC-4.0",
        sample_rate_hz=32000,
        channels=1,
        longest_s=30.0,
        recipes=_MUSICGEN_RECIPES,
        files=_MUSICGEN_FILES,
        commands=("hf download facebook/musicgen-medium --local-dir {folder}",),
        module="musicgen",
        trainable=True,
    ),
    Card(
        name="musicgen-large",
        title="MusicGen large, 3.3 B",
        repository="facebook/musicgen-large",
        licence="CC-BY-NC-4.0",
        sample_rate_hz=32000,
        channels=1,
        longest_s=30.0,
        recipes=_MUSICGEN_RECIPES,
        files=_MUSICGEN_FILES,
        commands=(
            "hf download facebook/musicgen-large --revision 15ccdc92099879e47b6da12c350cdb71d4eab3ca"
            " --local-dir {folder}",
        ),
        module="musicgen",
        trainable=True,
    ),
    Card(
        name="audioldm2-music",
        title="AudioLDM 2 music",
        repository="cvssp/audioldm2-music",
        licence="CC-BY-NC-SA-4.0",
        sample_rate_hz=16000,
        channels=1,
        longest_s=60.0,
        recipes={"own": DiffusionRecipe(steps=200, guidance=3.5, negative_prompt="Low quality.", sampler="ddim")},
        files=tuple(f"{part}/*.safetensors or {part}/*.bin" for part in _AUDIOLDM2_PARTS),
        commands=("hf download cvssp/audioldm2-music --local-dir {folder}",),
        module="audioldm2",
        differentiable="own",
    ),
    Card(
        name="ace-step-1.5-turbo",
        title="ACE-Step 1.5 turbo, continuous",
        repository="ACE-Step/acestep-v15-turbo-continuous",
        licence="MIT",
        sample_rate_hz=48000,
        channels=2,
        longest_s=600.0,
        recipes={"own": DiffusionRecipe(steps=8, guidance=1.0)},
        files=tuple(f"{part}/*.safetensors" for part in ("condition_encoder", "text_encoder", "transformer", "vae")),
        commands=(
            'hf download ACE-Step/Ace-Step1.5 --revision 19671f406d603126926c1b7e2adc169acbcade22 --include "vae/*"'
            " --local-dir {folder}-published",
            "hf download ACE-Step/Ace-Step1.5 --revision 19671f406d603126926c1b7e2adc169acbcade22"
            ' --include "Qwen3-Embedding-0.6B/*" --local-dir {folder}-published',
            "hf download ACE-Step/acestep-v15-turbo-continuous"
            " --local-dir {folder}-published/acestep-v15-turbo-continuous",
            "python scripts/convert_ace_step_to_diffusers.py --checkpoint_dir {folder}-published"
            " --dit_config acestep-v15-turbo-continuous --output_dir {folder}  # of a clone of diffusers",
        ),
        module="ace_step",
        differentiable="own",
    ),
    Card(
        name="stable-audio-open-1.0",
        title="Stable Audio Open 1.0",
        repository="stabilityai/stable-audio-open-1.0",
        licence="Stability AI Community",
        sample_rate_hz=44100,
        channels=2,
        longest_s=47.0,
        recipes={
            "own": DiffusionRecipe(steps=100, guidance=7.0, sampler="dpmpp-sde"),
            "ode": DiffusionRecipe(steps=100, guidance=7.0, sampler="dpmpp-ode"),
        },
        files=tuple(f"{part}/*.safetensors" for part in ("projection_model", "text_encoder", "transformer", "vae")),
        commands=(
            "hf download stabilityai/stable-audio-open-1.0 --revision f21265c1e2710b3bd2386596943f0007f55f802e"
            " --local-dir {folder}",
        ),
        module="stable_audio",
        gated=True,
        differentiable="ode",
    ),
    Card(
        name="stable-audio-open-small",
        title="Stable Audio Open small",
        repository="stabilityai/stable-audio-open-small",
        licence="Stability AI Community",
        sample_rate_hz=44100,
        channels=2,
        longest_s=11.0,
        recipes={
            "own": DiffusionRecipe(steps=8, guidance=1.0, sampler="pingpong"),
            "paper": DiffusionRecipe(steps=8, guidance=6.0, sampler="euler"),
        },
        files=("model_config.json", "model.safetensors or model.ckpt", "t5-base/model.safetensors"),
        commands=(
            "hf download stabilityai/stable-audio-open-small --revision dc620d91535857b72ebb59b4ca45978db6d417f5"
            " --local-dir {folder}",
            "hf download google-t5/t5-base config.json model.safetensors spiece.model tokenizer.json"
            " --local-dir {folder}/t5-base",
        ),
        module="stable_audio_small",
        gated=True,
        differentiable="own",
        trainable=True,
    ),
    Card(
        name="tangoflux",
        title="TangoFlux",
        repository="declare-lab/TangoFlux",
        licence="non-commercial research",
        sample_rate_hz=44100,
        channels=2,
        longest_s=29.95,
        recipes={
            "own": DiffusionRecipe(steps=25, guidance=4.5),
            "paper": DiffusionRecipe(steps=8, guidance=1.0),
        },
        files=("config.json", "tangoflux.safetensors", "vae.safetensors", "flan-t5-large/config.json"),
        commands=(
            "hf download declare-lab/TangoFlux --revision 367005e963cb3a9fb2e03a46104d7de23e34ceea"
            " --local-dir {folder}",
            "hf download google/flan-t5-large config.json spiece.model tokenizer.json tokenizer_config.json"
            " --local-dir {folder}/flan-t5-large",
        ),
        module="tangoflux",
        differentiable="own",
        trainable=True,
    ),
    Card(
        name="fluxaudio-s",
        title="FluxAudio-S of MeanAudio",
        repository="AndreasXi/MeanAudio",
        licence="MIT code; weights: see their card",
        sample_rate_hz=16000,
        channels=1,
        longest_s=10.0,
        recipes={"own": DiffusionRecipe(steps=25, guidance=4.5)},
        files=(),
        commands=(
            "git clone https://github.com/xiquan-li/MeanAudio",
            "hf download AndreasXi/MeanAudio --local-dir MeanAudio/weights",
        ),
        module=None,
    ),
)

CARDS: dict[str, Card] = {card.name: card for card in _CARDS}
"""By name."""


def card_of(name: str) -> Card:
    """The card of a backbone.

    Raises:
        ValueError: There is none of this name.
    """
    return CARDS[one_of("generator", name, tuple(CARDS))]
