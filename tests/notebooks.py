"""Notebooks without Jupyter: their code cells, run in order in one namespace.

    python tests/notebooks.py docs/examples/NAME.ipynb

runs a notebook in a temporary folder and stores in it what its cells print.
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["code_cells", "read", "run", "stored"]


def read(path: Path) -> dict[str, Any]:
    """The notebook, as JSON."""
    return json.loads(path.read_text())


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> list[str]:
    """Runs the cells in the current folder; returns what each prints."""
    names: dict[str, Any] = {"__name__": "__main__"}
    return [_printed("".join(cell["source"]), names) for cell in code_cells(notebook)]


def stored(notebook: dict[str, Any]) -> list[str]:
    """What the cells printed when the notebook was stored."""
    outputs = ((line for output in cell["outputs"] for line in output["text"]) for cell in code_cells(notebook))
    return ["".join(lines) for lines in outputs]


def _printed(source: str, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(source, "cell", "exec"), names)
    return out.getvalue()


def _store(path: Path) -> None:
    notebook = read(path)
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        printed = run(notebook)
    for number, (cell, text) in enumerate(zip(code_cells(notebook), printed, strict=True), 1):
        output = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
        cell |= {"execution_count": number, "outputs": [output] if text else []}
    path.write_text(json.dumps(notebook, indent=1) + "\n")


if __name__ == "__main__":
    _store(Path(sys.argv[1]).absolute())
