"""Every command and example of the README, run as it stands there, on a small data set."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RUN_BY_CI = {"make demo", "make test"}
NAMES = ("one.wav", "two.mp3", "two.wav", *(f"clip-{number:02d}.wav" for number in range(40)))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `audio/`, `pairs.jsonl`, `sweep.toml`, `prompts.txt` and `clips/`, as the README assumes; its own
    record comes first."""
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir()
    for number, name in enumerate(NAMES):
        tone = np.sin(2 * np.pi * (200 + 20 * number) * np.arange(16_000) / 16_000)
        soundfile.write(folder / "audio" / name, 0.3 * tone + 0.01 * rng.standard_normal(16_000), 16_000)
    (sweep,) = blocks("toml")
    (folder / "sweep.toml").write_text(sweep)
    (own,) = blocks("json")
    records = [json.loads(own), *_records(rng)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "prompts.txt").write_text("calm piano\nfast drums\n")
    (folder / "clips").mkdir()
    for number in range(8):
        shutil.copy(folder / "audio" / NAMES[3 + number], folder / "clips" / f"{number % 2}_c{number // 2}.wav")
    return folder


def _records(rng: np.random.Generator) -> list[dict[str, str]]:
    """Pairs of clips two by two, so that every split gets some."""
    couples = zip(NAMES[3::2], NAMES[4::2], strict=True)
    return [
        {"id": f"q{i}", "source": "mine", "audio_a": a, "audio_b": b, "label": str(rng.choice(["a", "b"]))}
        for i, (a, b) in enumerate(couples)
    ]


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines()]


def test_the_two_commands_are_the_first_and_are_run_by_ci() -> None:
    first = re.search(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert first is not None
    assert set(first[1].split("\n")) - {""} == RUN_BY_CI
    assert all(command in (ROOT / ".ci" / "run").read_text() for command in RUN_BY_CI)


@pytest.mark.slow(reason="runs a dozen command lines, each of which imports JAX or torch")
def test_every_command_and_the_example_run_as_written(folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "JAX_PLATFORMS": "cpu"}
    for command in commands():
        arguments = re.findall(r'"[^"]*"|\S+', command)
        done = subprocess.run(
            [argument.strip('"') for argument in arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    (example,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", example], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(float(done.stdout))
    assert len((folder / "scores.jsonl").read_text().splitlines()) == len(NAMES)


def test_every_file_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
