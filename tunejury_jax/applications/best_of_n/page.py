"""The candidates of best of N to listen to, ranked by their reward for each prompt."""

from pathlib import Path

from tunejury_jax.applications.best_of_n.selection import BestOfN
from tunejury_jax.applications.candidates import Scored
from tunejury_jax.applications.listening_page import Player, Section

__all__ = ["page_sections"]


def page_sections(found: BestOfN, pictures: list[tuple[str, Path]]) -> list[Section]:
    """The pictures, each with its title, and a section a prompt: candidates best first, those without reward last."""
    numbered = enumerate(found.prompts)
    prompts = [Section(f"Prompt {prompt.id}", prompt.text, _players(found, row)) for row, prompt in numbered]
    return [*(Section(title, picture=picture) for title, picture in pictures), *prompts]


def _players(found: BestOfN, prompt: int) -> list[Player]:
    kept: dict[int, list[int]] = {}
    for size, best in found.selected(prompt):
        if best is not None:
            kept.setdefault(best.candidate.number, []).append(size)
    # Equal rewards keep their order, as they do where one is selected.
    ranked = sorted(found.candidates(prompt), key=lambda each: (each.reward is None, -(each.reward or 0.0)))
    return [_player(each, kept.get(each.candidate.number, [])) for each in ranked]


def _player(scored: Scored, sizes: list[int]) -> Player:
    name = f"candidate {scored.candidate.number}"
    if scored.reward is None:
        return Player("none", f"{name}: {scored.error}")
    std = "" if scored.std is None else f"std {scored.std:.3f}"
    best = f"best of {', '.join(map(str, sizes))}" if sizes else ""
    note = ", ".join(filter(None, (name, best, std, *scored.flags)))
    return Player(f"{scored.reward:+.3f}", note, scored.candidate.path)
