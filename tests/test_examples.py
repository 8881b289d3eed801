"""The example notebooks run as they stand, offline, and print what is stored in them."""

from pathlib import Path

import notebooks
import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "docs" / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("untyped")
def test_a_notebook_prints_what_is_stored(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = notebooks.read(path)
    assert notebooks.run(notebook) == notebooks.stored(notebook)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(path: Path) -> None:
    text = "".join(line for cell in notebooks.read(path)["cells"] for line in cell["source"])
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []
