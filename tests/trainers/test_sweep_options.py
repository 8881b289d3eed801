"""The options of a sweep: on the command line, in a TOML file, and one over the other."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from trainers import sweep
from trainers.config import SweepConfig
from trainers.recipe import DataConfig
from trainers.space import SearchSpace
from trainers.sweep_file import MAX_BYTES, read_sweep
from tunejury_jax.console import command

FILE = """
store = "stores/a"
trials = 40
max-epochs = 7
save_every_s = 5
trackers = ["tensorboard"]
halving = [3, 9]

[space]
learning_rate = ["log", 1e-5, 1e-3]
dropout = 0.5
label-smoothing = []
widths = ["256-128", "64"]
batch_size = [16, 32]

[data]
blocks = ["mert"]
clean-valid = true
"""
ASKED = SweepConfig(
    store="stores/a",
    trials=40,
    max_epochs=7,
    save_every_s=5.0,
    trackers=("tensorboard",),
    halving=(3, 9),
    space=SearchSpace(
        learning_rate=("log", "1e-5", "1e-3"),
        dropout=("0.5",),
        label_smoothing=(),
        widths=("256-128", "64"),
        batch_size=("16", "32"),
    ),
    data=DataConfig(blocks=("mert",), clean_valid=True),
)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "sweep.toml"
        path.write_text(text)
        return path

    return write


def refused(path):
    with pytest.raises(ValueError, match="toml: ") as found:
        read_sweep(path)
    return str(found.value)


def ask(monkeypatch, *arguments):
    """What the command would run."""
    asked = []
    monkeypatch.setattr(sweep, "main", asked.append)
    monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        command(sweep.PROGRAM, sweep.SweepOptions, sweep.run)
    return end.value.code, *asked


def test_a_file_holds_any_option(file):
    assert read_sweep(file(FILE)) == ASKED


def test_an_empty_file_asks_for_the_defaults(file):
    assert read_sweep(file("")) == SweepConfig()


def test_numbers_are_of_the_type_of_their_field(file):
    assert type(read_sweep(file("save_every_s = 5")).save_every_s) is float


def test_options_override_the_file_and_leave_the_rest(file, monkeypatch):
    path = file(FILE)
    assert ask(monkeypatch, "--config", path) == (0, ASKED)
    arguments = ["--trials", 3, f"--config={path}", "--space.dropout", "0.1", "0.2", "--data.blocks"]
    space = replace(ASKED.space, dropout=("0.1", "0.2"))
    expected = replace(ASKED, trials=3, space=space, data=DataConfig(clean_valid=True))
    assert ask(monkeypatch, *arguments) == (0, expected)


def test_without_a_file_the_options_are_the_sweep(monkeypatch):
    assert ask(monkeypatch) == (0, SweepConfig())
    assert ask(monkeypatch, "--trials", 3, "--space.widths", "8-4", "4") == (
        0,
        SweepConfig(trials=3, space=SearchSpace(widths=("8-4", "4"))),
    )


def test_a_file_that_is_refused_is_one_line_and_status_2(file, monkeypatch, capsys):
    path = file("trails = 3")
    assert ask(monkeypatch, "--config", path) == (2,)
    error = f"python -m trainers.sweep: error: {path}: unknown field 'trails'; did you mean 'trials'?\n"
    assert capsys.readouterr().err == error
    assert ask(monkeypatch, "--config", path.with_name("none.toml")) == (2,)
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 3", "unknown field 'trails'; did you mean 'trials'?"),
        ("[space]\nlearning_rat = 3", "unknown field 'learning_rat' in [space]; did you mean 'learning_rate'?"),
        ("[space]\nlearning-rat = 3", "unknown field 'learning-rat' in [space]; did you mean 'learning_rate'?"),
        ("[data]\nblock = []", "unknown field 'block' in [data]; did you mean 'blocks'?"),
        ("[spaces]", "unknown field 'spaces'; did you mean 'space'?"),
        ("max-epochs = 3\nmax_epochs = 4", "field 'max_epochs' is given twice, with a hyphen and with an underscore"),
        (
            "[space]\nmin-delta = 1\nmin_delta = 2",
            "field 'min_delta' in [space] is given twice, with a hyphen and with an underscore",
        ),
        ('trials = "many"', "trials: got 'many', accepted is a whole number"),
        ("trials = true", "trials: got True, accepted is a whole number"),
        ("trials = 3.0", "trials: got 3.0, accepted is a whole number"),
        ('save_every_s = "5"', "save_every_s: got '5', accepted is a number"),
        ("save_every_s = true", "save_every_s: got True, accepted is a number"),
        ("save_every_s = nan", "save_every_s: got nan, accepted is a number"),
        ("store = 3", "store: got 3, accepted is text in quotes"),
        ("population = []", "population: got [], accepted is a whole number"),
        ("halving = 3", "halving: got 3, accepted is a list in brackets"),
        ('halving = [3, "4"]', "halving: got '4', accepted is a whole number"),
        ("halving = [4, 3]", "halving: got (4, 3), accepted is rising epochs from 1"),
        ('trackers = ["paper"]', "trackers: got 'paper', accepted is one of tensorboard, wandb"),
        ("[data]\nclean_valid = 1", "data.clean_valid: got 1, accepted is true or false"),
        ('[data]\nblocks = "mert"', "data.blocks: got 'mert', accepted is a list in brackets"),
        ("space = 3", "space: got 3, accepted is a table [space]"),
        ("[space]\ndropout = true", "space.dropout: got True, accepted is a number, text in quotes, or a list of them"),
        ("[space.dropout]", "space.dropout: got {}, accepted is a number, text in quotes, or a list of them"),
        ("[space]\ndropout = [0.1, 1]", "space.dropout: got 1.0, accepted is in [0, 1)"),
    ],
)
def test_a_field_that_is_not_accepted_is_named_with_its_file(file, text, message):
    path = file(text)
    assert refused(path) == f"{path}: {message}"


def test_a_field_that_is_like_no_other_gets_the_whole_list(file):
    assert refused(file("[data]\nxyz = 1")).endswith(
        "unknown field 'xyz' in [data]; accepted are blocks, zero_prompt_sources, both_bad_as_tie, leave_out, "
        "clean_valid, add"
    )


@pytest.mark.parametrize("text", ["trials", "trials = 1\ntrials = 2", "a = " + "[" * 20_000])
def test_what_is_no_toml_is_refused(file, text):
    path = file(text)
    assert re.match(rf"{re.escape(str(path))}: not TOML: .", refused(path))


def test_bytes_that_are_no_text_are_refused(file):
    path = file("")
    path.write_bytes(b"\xff")
    assert refused(path).startswith(f"{path}: not TOML: ")


def test_a_file_too_large_is_refused(file):
    path = file("#" * (MAX_BYTES + 1))
    assert refused(path) == f"{path}: {MAX_BYTES + 1} bytes, accepted are at most {MAX_BYTES}"


SCRIPT = """
import sys
from trainers import sweep
from tunejury_jax.console import command
try:
    command(sweep.PROGRAM, sweep.SweepOptions, sweep.run)
finally:
    print(*sorted({'jax', 'optuna', 'torch'} & sys.modules.keys()), file=sys.stderr)
"""


def test_help_tells_of_the_file_and_reading_one_needs_no_jax(file):
    def tell(*arguments):
        command = [sys.executable, "-c", SCRIPT, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    told = tell("--help")
    assert (told.returncode, told.stderr.strip()) == (0, "")
    assert re.search(r"--config .*\n.*TOML file of these options", told.stdout)
    path = file("[space]\nwidths = 8.5")
    told = tell("--config", str(path))
    message = f"{path}: space.widths: got '8.5', expected positive whole numbers such as 256-128-64-32"
    assert (told.returncode, told.stderr.strip()) == (2, f"{sweep.PROGRAM}: error: {message}")
