"""What may be asked of a run, and how each refusal reads."""

import math
import subprocess
import sys

import pytest
import tyro

from trainers.config import EvaluateConfig, ExportConfig, RunConfig, SweepConfig
from trainers.recipe import TrainConfig, parse_widths
from tunejury_jax.head_config import PAPER_WIDTHS


def test_the_defaults_are_the_published_recipe():
    found = TrainConfig()
    assert (found.learning_rate, found.weight_decay, found.dropout, found.label_smoothing) == (1e-4, 1e-3, 0.5, 0)
    assert (found.batch_size, found.widths, found.max_epochs, found.patience) == (32, PAPER_WIDTHS, 1000, 30)
    assert (found.min_delta, found.seed) == (1e-4, 42)


TRAIN = [
    ("learning_rate", 0.0, "above 0"),
    ("learning_rate", -1e-4, "above 0"),
    ("learning_rate", math.inf, "above 0"),
    ("learning_rate", math.nan, "above 0"),
    ("weight_decay", -1e-9, "at least 0"),
    ("weight_decay", math.inf, "at least 0"),
    ("dropout", -0.1, r"in \[0, 1\)"),
    ("dropout", 1.0, r"in \[0, 1\)"),
    ("dropout", math.nan, r"in \[0, 1\)"),
    ("label_smoothing", -0.1, r"in \[0, 1\]"),
    ("label_smoothing", 1.1, r"in \[0, 1\]"),
    ("batch_size", 1, r"at least 2 \(BatchNorm needs two rows\)"),
    ("widths", (), "one or more positive widths"),
    ("widths", (8, 0), "one or more positive widths"),
    ("max_epochs", 0, "at least 1"),
    ("patience", 0, "at least 1"),
    ("min_delta", -1e-9, "at least 0"),
    ("min_delta", math.nan, "at least 0"),
    ("seed", -1, r"in \[0, 2\^31\)"),
    ("seed", 1 << 31, r"in \[0, 2\^31\)"),
]


@pytest.mark.parametrize(("field", "value", "accepted"), TRAIN)
def test_a_recipe_out_of_range_is_refused_by_field_and_value(field, value, accepted):
    with pytest.raises(ValueError, match=rf"^{field}: got .*, accepted is {accepted}$") as refused:
        TrainConfig(**{field: value})
    assert f"got {value!r}," in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weight_decay", 0.0),
        ("dropout", 0.0),
        ("label_smoothing", 1.0),
        ("batch_size", 2),
        ("widths", (1,)),
        ("max_epochs", 1),
        ("patience", 1),
        ("min_delta", 0.0),
        ("seed", 0),
        ("seed", (1 << 31) - 1),
    ],
)
def test_the_ends_of_a_range_are_accepted(field, value):
    assert getattr(TrainConfig(**{field: value}), field) == value


@pytest.mark.parametrize(("text", "widths"), [("256-128-64-32", (256, 128, 64, 32)), ("8", (8,))])
def test_widths_are_read(text, widths):
    assert parse_widths(text) == widths


@pytest.mark.parametrize("text", ["", "-", "8-", "-8", "8,4", "8 4", "0", "8-0", "8.0", "eight", "1e3", "²", "٣"])
def test_widths_of_another_form_are_refused(text):
    with pytest.raises(ValueError, match=r"^widths: got .*, expected positive whole numbers such as 256-128-64-32$"):
        parse_widths(text)


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("trials", 0, "at least 1"),
        ("population", 0, "at least 1"),
        ("max_epochs", 0, "at least 1"),
        ("patience", 0, "at least 1"),
        ("batch_size", 1, "at least 2 .*"),
        ("seed", -1, r"in \[0, 2\^31\)"),
    ],
)
def test_a_sweep_out_of_range_is_refused(field, value, accepted):
    with pytest.raises(ValueError, match=rf"^{field}: got {value}, accepted is {accepted}$"):
        SweepConfig(**{field: value})


def test_options_are_the_fields():
    arguments = "--store s --out o --train.learning-rate 1e-3 --train.widths 8 4 --data.blocks mert clap_text"
    found = tyro.cli(RunConfig, args=arguments.split())
    assert (found.store, found.out, found.train.learning_rate, found.train.widths) == ("s", "o", 1e-3, (8, 4))
    assert found.data.blocks == ("mert", "clap_text")


@pytest.mark.parametrize("config", [RunConfig, SweepConfig, EvaluateConfig, ExportConfig])
def test_every_option_says_what_it_is(config, capsys):
    with pytest.raises(SystemExit):
        tyro.cli(config, args=["--help"])
    assert "--" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["sweep", "train", "evaluate", "export", "report"])
def test_help_is_there_without_loading_jax(name):
    script = (
        f"import sys, runpy; sys.argv = ['x', '--help']\ntry: runpy.run_module('trainers.{name}', None, '__main__')\n"
    )
    script += "finally: print(*({'jax', 'optuna', 'torch'} & sys.modules.keys()), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert f"usage: python -m trainers.{name}" in done.stdout
