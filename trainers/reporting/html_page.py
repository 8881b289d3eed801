"""HTML parts of a report: the only places where text becomes HTML, and each escapes it.

The page needs nothing else: pictures are inside and there is no script. Its policy forbids any script that got past
the escaping.
"""

import base64
import html
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from tunejury_jax.figures.canvas import png

__all__ = ["facts", "grid", "missing", "page", "paragraph", "picture", "section"]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #5c5c61; --line: #d9d9de; --page: #fbfbfc; --card: #f1f1f4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a3a3aa; --line: #3d3d43; --page: #17171a; --card: #232327; } }
body { max-width: 66rem; margin: 0 auto; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.15rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, .fact span { color: var(--soft); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .75rem; }
.fact { background: var(--card); border-radius: .5rem; padding: .75rem; }
.fact b { display: block; font-size: 1.4rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { overflow-wrap: normal; } td { white-space: nowrap; } td.long { white-space: normal; min-width: 16rem; }
img { width: 100%; max-width: 40rem; background: #fff; border-radius: .5rem; }
@media print {
  :root { --ink: #000; --soft: #333; --line: #bbb; --page: #fff; --card: #f4f4f4; }
  img, .fact, tr { break-inside: avoid; } h2 { break-after: avoid; } .wide { overflow: visible; }
  table { font-size: .6rem; } th, td { padding: .15rem .3rem; }
  td { white-space: normal; overflow-wrap: normal; } td.long { min-width: 0; overflow-wrap: anywhere; } }
"""


def paragraph(text: str) -> str:
    """A line of prose."""
    return f"<p>{html.escape(text)}</p>"


def missing(file: str, what: str) -> str:
    """Says what a run does not have, and which file would have it."""
    return paragraph(f"Missing: {what}. The run has no {file}, or nothing is in it.")


def facts(values: Sequence[tuple[str, str]]) -> str:
    """Cards of a large value and the note under it."""
    cards = (f'<div class="fact"><b>{html.escape(v)}</b><span>{html.escape(note)}</span></div>' for v, note in values)
    return f'<div class="facts">{"".join(cards)}</div>'


def grid(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = "\n".join("<tr>" + "".join(_cell(str(value)) for value in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    opening = '<td class="long">' if len(text) > 36 else "<td>"
    return f"{opening}{html.escape(text)}</td>"


def picture(figure: Figure, alt: str) -> str:
    """A figure as an image inside the page, with its description."""
    data = base64.b64encode(png(figure)).decode()
    return f'<p><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></p>'


def section(title: str, *parts: str) -> str:
    """A titled part of the page."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def page(title: str, sections: Sequence[str]) -> str:
    """The whole page."""
    head = f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    head += f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>"
    body = f"<h1>{html.escape(title)}</h1>\n" + "\n".join(sections)
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'
