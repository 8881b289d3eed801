"""A page to listen to clips by: sections of players, which refer to audio files by their place relative to the page.

There is no script. Text is escaped, and the page's policy forbids scripts and anything from elsewhere.
"""

import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from tunejury_jax.documents import write_whole

__all__ = ["Player", "Section", "write_page"]

OPEN = 4
"""Players of a section that are shown at once; the others are folded away."""

POLICY = "default-src 'none'; media-src 'self' file:; img-src 'self' file:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #5c5c61; --line: #d9d9de; --page: #fbfbfc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a3a3aa; --line: #3d3d43; --page: #17171a; } }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, small, summary { color: var(--soft); font-size: .9rem; }
.clip { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: center; padding: .25rem 0; }
.clip b { min-width: 5rem; font-variant-numeric: tabular-nums; }
audio { width: 22rem; max-width: 100%; height: 2.25rem; }
img { width: 100%; max-width: 44rem; background: #fff; border-radius: .5rem; }
"""


class Player(NamedTuple):
    """A clip to listen to.

    Attributes:
        title: Short, such as a score.
        note: What else there is to know.
        audio: Its file; None where there is none to play.
    """

    title: str
    note: str = ""
    audio: Path | None = None


class Section(NamedTuple):
    """Clips that belong together, best first, or in whatever order they are to be heard."""

    title: str
    text: str = ""
    players: Sequence[Player] = ()
    picture: Path | None = None


def write_page(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Writes the page.

    Args:
        path: Its file. It may be moved together with the files that it refers to.
        title: Its heading.
        sections: From top to bottom.
    """
    parts = "\n".join(_section(section, path.parent) for section in sections)
    head = f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    head += f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>"
    body = f"<h1>{html.escape(title)}</h1>\n{parts}"
    write_whole(path, f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n')


def _section(section: Section, folder: Path) -> str:
    players = [_player(player, folder) for player in section.players]
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.picture:
        parts.append(f'<p><img alt="{html.escape(section.title)}" src="{_address(section.picture, folder)}"></p>')
    parts += players[:OPEN]
    if folded := players[OPEN:]:
        parts.append(f"<details><summary>{len(folded)} more</summary>\n" + "\n".join(folded) + "\n</details>")
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _player(player: Player, folder: Path) -> str:
    # Nothing is fetched before it is played: a page may have thousands of players.
    audio = f'<audio controls preload="none" src="{_address(player.audio, folder)}"></audio>' if player.audio else ""
    words = f"<b>{html.escape(player.title)}</b>{audio}<small>{html.escape(player.note)}</small>"
    return f'<div class="clip">{words}</div>'


def _address(file: Path, folder: Path) -> str:
    relative = Path(os.path.relpath(file, folder)).as_posix()
    # Quoted as a whole, colons too: a name must not pass for an address of another scheme.
    return html.escape(quote(relative, safe="/", errors="surrogateescape"))
