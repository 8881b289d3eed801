"""What `tunejury generators` prints."""

from pathlib import Path

from rich.table import Column, Table

from feature_export.weights.folder import root
from tunejury_jax.applications.generators import workers
from tunejury_jax.applications.generators.cards import CARDS, Card, card_of
from tunejury_jax.console import make_console

__all__ = ["show_generator", "show_generators"]

CHANNELS = {1: "mono", 2: "stereo"}


def show_generators() -> None:
    """Prints every backbone: licence, what it makes and how, what for, and whether its weights are there."""
    table = Table(
        Column("generator", no_wrap=True),
        "licence",
        "makes",
        "recipes",
        "modes",
        Column("weights", overflow="fold"),
        show_lines=True,
    )
    for card in CARDS.values():
        table.add_row(card.name, _licence(card), _makes(card), _recipes(card), _modes(card), _state(card))
    console = make_console()
    console.print(table)
    folder = root() / "generators"
    console.print(f"Weights are looked for in {folder} (environment variable TUNEJURY_WEIGHTS)", soft_wrap=True)
    console.print("How to get them: tunejury generators NAME", soft_wrap=True)
    console.print(f"Any other generator, as worker:FILE.json: see docs/generators.md and {_scripts()}", soft_wrap=True)


def show_generator(name: str) -> None:
    """Prints what is known of one backbone, and the commands that fetch its weights."""
    card = card_of(name)
    table = Table.grid(padding=(0, 2))
    table.add_row(card.name, card.title)
    table.add_row("licence", _licence(card))
    table.add_row("makes", _makes(card))
    table.add_row("recipes", _recipes(card))
    table.add_row("modes", _modes(card))
    table.add_row("weights", _state(card))
    make_console().print(table)
    # As they are, so that they can be copied: a console would wrap them.
    print(
        f"Looked for in {card.folder}" if card.module else f"Runs as a worker: see docs/generators.md and {_scripts()}"
    )
    print(f"To get its weights:\n{card.how_to_get(card.folder)}")


def _licence(card: Card) -> str:
    return f"{card.licence}, gated" if card.gated else card.licence


def _makes(card: Card) -> str:
    return f"{card.sample_rate_hz / 1000:g} kHz {CHANNELS[card.channels]}, up to {card.longest_s:g} s"


def _recipes(card: Card) -> str:
    return "\n".join(f"{name}: {recipe}" for name, recipe in card.recipes.items())


def _modes(card: Card) -> str:
    modes = {"best-of-n": True, "ditto": card.differentiable is not None, "expert-iteration": card.trainable}
    return "\n".join(mode for mode, there in modes.items() if there)


def _state(card: Card) -> str:
    if card.module is None:
        return "worker"
    missing = card.missing(card.folder)
    if len(missing) == len(card.files):
        return "not there"
    return f"missing: {', '.join(missing)}" if missing else "there"


def _scripts() -> Path:
    return Path(workers.__path__[0])
