"""What `tunejury encoders` prints and asks."""

import sys
from pathlib import Path

from rich.table import Column, Table

from feature_export.weights.fetch import fetch
from feature_export.weights.folder import find_weights, root
from feature_export.weights.licences import accept, accepted, sentence
from feature_export.weights.published import PUBLICATIONS, Publication, publication
from feature_export.weights.record import UNRECORDED
from tunejury_jax.console import make_console

__all__ = ["fetch_encoder", "show_encoders"]


def show_encoders() -> None:
    """Prints every family: what it fills, its licence, its size, whether its weights are there."""
    table = Table("encoders", "fill", "licence", "size", Column("weights", overflow="fold"))
    table.add_row("mel", "mel_baseline, ngram_baseline", "Apache-2.0, this project's", "none", "built in")
    for each in PUBLICATIONS.values():
        table.add_row(each.name, ", ".join(each.blocks), _licence(each), f"{each.size / 1e9:.2f} GB", _state(each))
    console = make_console()
    console.print(table)
    console.print(f"Weights are looked for in {root()} (environment variable TUNEJURY_WEIGHTS)", soft_wrap=True)
    console.print("The sha256 of every file is known; fetch checks them, also of files that are there", soft_wrap=True)


def fetch_encoder(name: str, source: Path | None, said: str | None) -> None:
    """Has the licence accepted where that is needed, then completes the weights of a family."""
    chosen = publication(name)
    if source is not None and not source.is_dir():
        raise ValueError(f"from: {source} is not a folder")
    if not accepted(chosen):
        accept(chosen, _ask(chosen) if said is None else said)
    folder = fetch(chosen, source)
    print(f"{folder}: complete, every file as published ({find_weights(name).revision})")


def _ask(chosen: Publication) -> str:
    words = sentence(chosen)
    if not sys.stdin.isatty():
        raise ValueError(
            f"accept: {chosen.weights} is published under {chosen.licence}, for non-commercial use only; "
            f'if you accept that, add: --accept "{words}"'
        )
    print(f"{chosen.weights} is published under {chosen.licence}: for non-commercial use only, with attribution.")
    try:
        return input(f"If you accept that, type: {words}\n> ")
    except EOFError:
        return ""


def _licence(each: Publication) -> str:
    others = {repository.licence: repository.name for repository in each.repositories[1:]}
    notes = [f"{name}: {licence}" for licence, name in others.items() if licence != each.licence]
    terms = each.licence if each.commercial else f"{each.licence}, non-commercial"
    return "; ".join([f"{each.weights}: {terms}", *notes])


def _state(each: Publication) -> str:
    folder = root() / each.name
    needed = {repository.place(file.name): (repository, file) for repository, file in each}
    missing = [
        place for place, (r, file) in needed.items() if not _is_there(folder / r.folder, file.name, file.instead)
    ]
    if missing:
        return "not there" if len(missing) == len(needed) else f"missing: {', '.join(missing)}"
    checked = "put there by hand, not checked" if find_weights(each.name).revision == UNRECORDED else "complete"
    return checked if accepted(each) else f"{checked}; licence not accepted"


def _is_there(folder: Path, *names: str | None) -> bool:
    return any(name and (folder / name).is_file() for name in names)
