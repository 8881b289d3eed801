"""`tunejury generators` on weights that are there, in part, or not at all; and the page about them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tyro

from tests.tiny_generators import musicgen
from tunejury_jax.applications.generators.cards import CARDS, card_of
from tunejury_jax.applications.generators.worker import WorkerConfig
from tunejury_jax.cli.generators import Generators

PAGE = (Path(__file__).parents[2] / "docs" / "generators.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    return tmp_path


def test_the_list_names_all_with_licence_rate_and_recipe(capsys, weights):
    assert Generators().run() == 0
    told = capsys.readouterr().out
    assert all(name in told for name in CARDS)
    for fact in ("CC-BY-NC-4.0", "gated", "32 kHz mono", "44.1 kHz stereo", "top 250", "ditto", "not there"):
        assert fact in told
    assert f"{weights}/generators" in told


def test_weights_that_are_there_are_told(capsys, weights):
    assert "weights          not there" in _shown("musicgen-medium", capsys)
    musicgen.write(card_of("musicgen-medium").folder)
    assert "weights          there" in _shown("musicgen-medium", capsys)
    (card_of("musicgen-medium").folder / "model.safetensors").unlink()
    assert "missing: *model*.safetensors or pytorch_model*.bin" in _shown("musicgen-medium", capsys)


def test_one_of_them_with_the_commands_that_fetch_it(capsys, weights):
    told = _shown("stable-audio-open-small", capsys)
    assert "paper: 8 steps euler, guidance 6" in told
    assert "Accept its terms on huggingface.co/stabilityai/stable-audio-open-small" in told
    assert f" --local-dir {weights}/generators/stable-audio-open-small\n" in told
    assert "Runs as a worker" in _shown("fluxaudio-s", capsys)


def test_an_unknown_one_is_refused():
    with pytest.raises(ValueError, match="did you mean 'tangoflux'"):
        Generators("tangofluks").run()


def _shown(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert Generators(name).run() == 0
    return capsys.readouterr().out


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_commands_of_the_page(capsys):
    lines = [line.partition("#")[0].split() for line in _blocks("")[0].splitlines()]
    assert [line[:2] for line in lines] == [["tunejury", "generators"]] * 2
    for line in lines:
        assert tyro.cli(Generators, args=line[2:]).run() == 0
    assert "declare-lab/TangoFlux" in capsys.readouterr().out


def test_the_python_of_the_page():
    musicgen.write(card_of("musicgen-medium").folder)
    names: dict[str, Any] = {}
    exec(_blocks("python")[0], names)
    assert names["clips"].shape == (2, 1, 16000)


def test_the_files_of_the_page_describe_workers():
    for block in _blocks("json"):
        document = json.loads(block)
        assert WorkerConfig(**{**document, "command": tuple(document["command"])}).restarts == 2


def test_the_page_says_what_the_cards_say():
    for card in CARDS.values():
        assert f"`{card.name}`" in PAGE
        assert card.module is None or card.licence in PAGE
        assert all(f"`{recipe}`" in PAGE for recipe in card.recipes)
        assert f"up to {card.longest_s:g} s" in PAGE
