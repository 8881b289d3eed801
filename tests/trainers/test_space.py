"""What a search may be asked to look through, and how each refusal reads."""

import re

import pytest
import tyro

from trainers.config import SweepConfig
from trainers.recipe import DataConfig, Recipe, TrainConfig
from trainers.space import Dimension, SearchSpace, recipe_of

USUAL_RANGES = {
    "learning_rate": "log",
    "weight_decay": "log",
    "dropout": "linear",
    "label_smoothing": "linear",
    "min_delta": "log",
}
USUAL_CHOICES = {"batch_size": ("16", "32"), "patience": ("5", "9"), "seed": ("1", "2")}


def dimension(field, *tokens):
    return SearchSpace(**{field: tokens}).dimensions()[field]


def test_by_default_five_are_searched_and_the_rest_is_the_sweeps_own():
    assert SearchSpace().dimensions() == {
        "learning_rate": ("log", (1e-4, 1e-2)),
        "weight_decay": ("log", (1e-4, 1e-1)),
        "dropout": ("linear", (0.1, 0.6)),
        "label_smoothing": ("linear", (0.0, 0.1)),
        "widths": ("choice", ("1024-512-256-128", "256-128-64-32")),
    }


@pytest.mark.parametrize(("field", "scale"), USUAL_RANGES.items())
def test_two_numbers_are_a_range_of_the_usual_scale(field, scale):
    assert dimension(field, "0.1", "0.2") == Dimension(scale, (0.1, 0.2))
    assert dimension(field, "0.1", "0.1") == Dimension(scale, (0.1, 0.1))


@pytest.mark.parametrize(("field", "values"), USUAL_CHOICES.items())
def test_whole_numbers_are_a_choice_unless_a_scale_is_named(field, values):
    low, high = (int(value) for value in values)
    assert dimension(field, *values) == ("choice", (low, high))
    for scale in ("log", "linear"):
        assert dimension(field, scale, *values) == (scale, (low, high))


@pytest.mark.parametrize("field", USUAL_RANGES)
def test_a_scale_that_is_named_is_taken(field):
    for scale in ("log", "linear"):
        assert dimension(field, scale, "0.1", "0.2") == (scale, (0.1, 0.2))
    assert dimension(field, "choice", "0.3", "0.1", "0.2") == ("choice", (0.3, 0.1, 0.2))


def test_one_value_is_fixed_and_may_be_zero_where_the_usual_scale_has_none():
    assert dimension("weight_decay", "0") == ("choice", (0.0,))
    assert dimension("dropout", "0.5") == ("choice", (0.5,))


def test_an_option_without_values_is_not_searched():
    found = SearchSpace(dropout=(), widths=()).dimensions()
    assert found.keys() == {"learning_rate", "weight_decay", "label_smoothing"}


def test_text_is_a_choice_as_it_was_asked_for():
    assert dimension("widths", "8-4", "16") == ("choice", ("8-4", "16"))
    assert dimension("blocks", "mert", "clap_audio+mert") == ("choice", ("mert", "clap_audio+mert"))


@pytest.mark.parametrize("tokens", [("1e-4", "1e-2"), ("log", "0.0001", "0.010"), ("log", "1e-4", "1E-2")])
def test_a_dimension_is_kept_in_one_spelling(tokens):
    assert SearchSpace(learning_rate=tokens) == SearchSpace()
    assert SearchSpace(learning_rate=tokens).learning_rate == ("log", "0.0001", "0.01")


def test_options_are_the_dimensions():
    arguments = "--space.learning-rate 1e-4 1e-2 --space.dropout choice 0.1 0.5 --space.seed linear 0 9 --space.widths"
    space = tyro.cli(SweepConfig, args=arguments.split()).space
    assert space == SearchSpace(
        ("1e-4", "1e-2"), dropout=("choice", "0.1", "0.5"), seed=("linear", "0", "9"), widths=()
    )


RANGE = "log LOW HIGH, linear LOW HIGH or choice VALUE ..."


@pytest.mark.parametrize(
    ("field", "tokens", "accepted"),
    [
        ("dropout", ("0.2", "0.1"), "a range with LOW <= HIGH"),
        ("batch_size", ("linear", "8", "4"), "a range with LOW <= HIGH"),
        ("dropout", ("nan", "0.1"), "a range with LOW <= HIGH"),
        ("dropout", ("0.1", "nan"), "a range with LOW <= HIGH"),
        ("dropout", ("linear",), RANGE),
        ("dropout", ("linear", "0.1"), RANGE),
        ("learning_rate", ("0.1", "0.2", "0.3"), RANGE),
        ("dropout", ("choice",), "at least one value to choose"),
        ("weight_decay", ("0.0", "0.1"), "a range above 0, it is searched on a log scale"),
        ("dropout", ("log", "0", "0.1"), "a range above 0, it is searched on a log scale"),
        ("seed", ("log", "0", "9"), "a range above 0, it is searched on a log scale"),
        ("dropout", ("choice", "0.1", "0.10"), "a choice of values that differ"),
        ("batch_size", ("8", "8"), "a choice of values that differ"),
        ("widths", ("8-4", "8-4"), "a choice of values that differ"),
        ("widths", ("log", "8", "16"), "a choice, it has no ranges"),
        ("blocks", ("linear", "a", "b"), "a choice, it has no ranges"),
    ],
)
def test_what_is_no_dimension_is_refused_by_field_value_and_what_is_accepted(field, tokens, accepted):
    with pytest.raises(ValueError, match=re.escape(f"space.{field}: got {tokens!r}, accepted is {accepted}") + "$"):
        SearchSpace(**{field: tokens})


@pytest.mark.parametrize(
    ("field", "tokens", "message"),
    [
        ("dropout", ("0.1", "1.0"), "space.dropout: got 1.0, accepted is in [0, 1)"),
        ("dropout", ("choice", "0.1", "-0.1"), "space.dropout: got -0.1, accepted is in [0, 1)"),
        ("dropout", ("nan",), "space.dropout: got nan, accepted is in [0, 1)"),
        ("learning_rate", ("0.1", "inf"), "space.learning_rate: got inf, accepted is above 0"),
        ("learning_rate", ("0",), "space.learning_rate: got 0.0, accepted is above 0"),
        ("label_smoothing", ("0.5", "1.5"), "space.label_smoothing: got 1.5, accepted is in [0, 1]"),
        ("batch_size", ("1", "2"), "space.batch_size: got 1, accepted is at least 2 (BatchNorm needs two rows)"),
        ("patience", ("0",), "space.patience: got 0, accepted is at least 1"),
        ("min_delta", ("linear", "-1", "1"), "space.min_delta: got -1.0, accepted is at least 0"),
        ("seed", ("1", "2147483648"), "space.seed: got 2147483648, accepted is in [0, 2^31)"),
        ("dropout", ("0.1", "much"), "space.dropout: got 'much', accepted are numbers"),
        ("dropout", ("uniform", "0.1", "0.2"), "space.dropout: got 'uniform', accepted are numbers"),
        ("batch_size", ("8", "16.0"), "space.batch_size: got '16.0', accepted are whole numbers"),
        ("widths", ("8", "8,4"), "space.widths: got '8,4', expected positive whole numbers such as 256-128-64-32"),
        ("widths", ("8", ""), "space.widths: got '', expected positive whole numbers such as 256-128-64-32"),
    ],
)
def test_a_space_holds_only_what_a_head_accepts(field, tokens, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SearchSpace(**{field: tokens})


@pytest.mark.parametrize("blocks", ["", "+", "a+", "a++b", "a+a"])
def test_blocks_that_are_no_names_joined_are_refused(blocks):
    accepted = "names of blocks joined by +, each once, such as clap_audio+mert"
    with pytest.raises(ValueError, match=re.escape(f"space.blocks: got {blocks!r}, accepted is {accepted}") + "$"):
        SearchSpace(blocks=("mert", blocks))


def test_a_space_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^space: got \(\), accepted is at least one option to search$"):
        SearchSpace((), (), (), (), widths=())


def test_a_recipe_takes_what_was_chosen_and_the_base_gives_the_rest():
    base = Recipe(TrainConfig(dropout=0.3, seed=7), DataConfig(blocks=("mert",), clean_valid=True))
    assert recipe_of(base, {}) == base
    found = recipe_of(base, {"learning_rate": 1e-3, "widths": "8-4", "blocks": "a+b", "batch_size": 4})
    train = TrainConfig(learning_rate=1e-3, widths=(8, 4), batch_size=4, dropout=0.3, seed=7)
    assert found == Recipe(train, DataConfig(blocks=("a", "b"), clean_valid=True))
