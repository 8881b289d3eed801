"""What a report says of sweeps and presets: pruned trials, parallel coordinates, importance, tables, seeds."""

import json
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from run_factory import HOSTILE, TAGS, curve, failed, fill, report, trial, trials_of, write_lines

from trainers.reporting import parallel_plot
from trainers.reporting.importance import importances
from trainers.reporting.parallel_plot import parallel_coordinates
from trainers.reporting.run_page import write_report
from trainers.reporting.run_reader import HeadFit, Trial
from trainers.reporting.search_plots import hyper_parameters
from trainers.reporting.seed_spread import by_head, seed_chart, spread
from tunejury_jax import metrics


def pruned(number, epochs):
    return trial(number, state="pruned", valid_loss=0.1, epochs=epochs)


def accuracy(correct, n=20):
    return metrics.Accuracy(correct / n, *metrics.wilson(correct, n), n, correct, 0, 3)


def head_line(number, head, seed, correct, **sources):
    found = {"all": accuracy(correct)._asdict(), **{name: accuracy(c)._asdict() for name, c in sources.items()}}
    return {"trial": number, "head": head, "seed": seed, "valid_loss": 0.6, "accuracy": found}


def test_pruned_trials_are_counted_explained_and_never_ranked(tmp_path):
    trials = [trial(0), trial(1), pruned(2, 30), pruned(3, 10), pruned(4, 10), failed(5)]
    page = report(fill(tmp_path, trials, curve(0)))
    assert "6 trials2 complete, 3 pruned, 1 failed" in page.text
    assert "3 trials pruned, that is stopped by successive halving" in page.text
    assert "2 after epoch 10, 1 after epoch 30." in page.text
    assert "1 ended without a result." in page.text
    assert "trial 0best, with a validation loss of 0.6000" in page.text  # not the 0.1 of a pruned one
    assert "2 trials with a result, 4 without" in page.text


def test_one_pruned_trial_is_singular(tmp_path):
    assert "1 trial pruned" in report(fill(tmp_path, [trial(0), pruned(1, 10)])).text


def lines_of(figure):
    """The highlighted lines (drawn with markers) by colour and marker."""
    return [line for line in figure.artists + figure.lines if isinstance(line, Line2D)]


def test_the_best_trials_stand_out_by_more_than_colour():
    figure = parallel_coordinates([Trial(**trial(n)) for n in range(40)])
    lines = lines_of(figure)
    assert [line.get_marker() for line in lines if line.get_linestyle() == "None"] == ["o"] * 4 + ["*"]
    assert [line.get_linestyle() for line in lines if line.get_marker() == "None"] == ["--"] * 4 + ["-"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["best, trial 0", "next 4", "35 others"]


def test_a_line_goes_through_the_values_of_its_trial():
    figure = parallel_coordinates(trials_of("rate", [1e-4, 1e-3, 1e-2], [0.5, 0.7, 0.6]))
    best = lines_of(figure)[-1].get_xydata()
    second = lines_of(figure)[-3].get_xydata()  # the next best: the third
    axes, loss = figure.axes
    assert axes.get_xscale() == "log"
    for points, rate, value in ((best, 1e-4, 0.5), (second, 1e-2, 0.6)):
        pixels = figure.transSubfigure.transform(points)
        assert axes.transData.inverted().transform(pixels[0]) == pytest.approx([rate, 0])
        assert loss.transData.inverted().transform(pixels[1]) == pytest.approx([value, 0])


def test_lines_of_a_category_lie_side_by_side_best_first():
    values = ["b", "a", "b", "b"]
    trials = sorted(trials_of("widths", values, [0.4, 0.1, 0.3, 0.2]), key=lambda t: t.valid_loss)
    figure = parallel_coordinates(trials)
    places = parallel_plot._parameter_axis(figure.axes[0], "widths", trials)
    assert places[0] == pytest.approx(0)
    assert places[1:] == pytest.approx([1 - 0.7 / 3, 1, 1 + 0.7 / 3])


def test_a_loss_beyond_the_range_is_drawn_at_the_end_and_counted():
    figure = parallel_coordinates(trials_of("rate", [1, 2, 3, 4, 5, 6], [0.5, 0.51, 0.52, 0.53, 0.54, 1e6]))
    loss = figure.axes[-1]
    assert loss.get_xlim()[1] < 1
    (others,) = figure.findobj(LineCollection)
    (end,) = (line[-1] for line in others.get_segments())
    assert figure.transSubfigure.transform(end) == pytest.approx(loss.transData.transform((loss.get_xlim()[1], 0)))
    assert figure.axes[-1].get_xlabel() == "nats per pair; 1 of 6 trials lie beyond the end"


def test_a_trial_without_a_hyper_parameter_has_a_gap():
    trials = [*trials_of("rate", [1, 2]), Trial(**trial(7, params={}))]
    ranked = sorted(trials, key=lambda t: t.valid_loss)
    figure = parallel_coordinates(trials)
    places = parallel_plot._parameter_axis(figure.axes[0], "rate", ranked)
    assert np.isnan(places).tolist() == ["rate" not in t.params for t in ranked]


@pytest.mark.parametrize("draw", [parallel_coordinates, hyper_parameters])
def test_nothing_that_varied_cannot_be_drawn(draw):
    with pytest.raises(ValueError, match="expected a hyper-parameter of at least two values, got 1 ranked trials"):
        draw(trials_of("rate", [1]))


def searched(count, effect):
    """Trials where the learning rate decides, as far as `effect` says, and nothing else."""
    generator = np.random.default_rng(3)
    for number in range(count):
        rate, dropout = float(10 ** generator.uniform(-5, -2)), float(generator.uniform(0, 0.5))
        widths = "abc"[int(generator.integers(3))]
        loss = effect * (math.log10(rate) + 3.5) ** 2 + float(generator.normal()) / 100
        params = {"learning_rate": rate, "dropout": dropout, "widths": widths}
        yield Trial(**trial(number, valid_loss=loss, params=params))


NAMES = ["dropout", "learning_rate", "widths"]


def test_what_decides_is_important_beyond_chance():
    found = importances(list(searched(48, 0.1)), NAMES)
    assert next(iter(found)) == "learning_rate"
    rate = found["learning_rate"]
    assert rate.value > 0.6
    assert rate.value > rate.chance
    assert sum(i.value for i in found.values()) == pytest.approx(1)
    for importance in found.values():
        assert 0 <= importance.low <= importance.high <= 1
    assert rate.low > 0.3
    assert all(found[name].value <= found[name].chance for name in ("dropout", "widths"))


def test_where_nothing_decides_nothing_exceeds_chance():
    found = importances(list(searched(48, 0.0)), NAMES)
    assert [name for name, i in found.items() if i.value > i.chance] == []


def test_importance_is_the_same_for_the_same_trials():
    trials = list(searched(12, 0.1))
    assert importances(trials, NAMES) == importances(trials, NAMES)


@pytest.mark.parametrize(
    ("values", "losses"),
    [
        ([1, 2.5, 3, 4, 5, 6, 7, 8], [0.5] * 8),
        ([[8, 4], None, True, "a", "a", 3, 1e400, [8, 4]], None),
        ([HOSTILE, *"abcdefg"], None),
        ([1, 1.0, 1, 1, 1, 1, 1, 1], None),
    ],
)
def test_values_and_losses_of_any_kind_have_an_importance(values, losses):
    (found,) = importances(trials_of("a", values, losses), ["a"]).values()
    assert 0 <= found.value <= 1


def test_too_few_trials_are_refused():
    with pytest.raises(ValueError, match="trials: expected at least 8 ranked ones, got 7"):
        importances(list(searched(7, 0.1)), NAMES)


def test_the_page_has_importance_or_says_why_not(tmp_path):
    few = report(fill(tmp_path / "few", [trial(n) for n in range(7)] + [failed(n) for n in range(7, 9)]))
    assert "7 trials with a result: too few, at least 8 are needed." in few.text
    same = report(fill(tmp_path / "same", [trial(n, params={"a": 1, f"b{n}": n}) for n in range(8)]))
    assert "No hyper-parameter that every trial has varied" in same.text
    trials = [t._asdict() for t in searched(24, 0.1)]
    page = report(fill(tmp_path / "enough", trials))
    (rate,) = (row for row in page.rows if row[0] == "learning_rate" and len(row) == 5)
    assert rate[-1] == "yes"
    expected = importances(list(searched(24, 0.1)), ["learning_rate", "dropout", "widths"])["learning_rate"]
    assert rate[1:4] == [
        f"{expected.value:.1%}",
        f"{expected.low:.1%} to {expected.high:.1%}",
        f"up to {expected.chance:.1%}",
    ]


def preset(run, lines, tables=None):
    fill(run, [trial(0)])
    write_lines(run / "heads.jsonl", lines)
    if tables is not None:
        (run / "tables.json").write_text(json.dumps(tables))
    return run


TABLE: dict[str, Any] = {"title": "Left out", "note": "What was left out.", "header": ["source", "accuracy"]}


def test_tables_are_shown_in_order(tmp_path):
    tables = [TABLE | {"rows": [["AIME", "61%"], ["SongEval", "58%"]]}, TABLE | {"title": "Empty", "rows": []}]
    page = report(preset(tmp_path, [], tables))
    assert ["AIME", "61%"] in page.rows
    assert ["SongEval", "58%"] in page.rows
    assert page.text.index("Left out") < page.text.index("Empty") < page.text.index("Leaderboard")


def test_heads_and_tables_are_shown_and_never_obeyed(tmp_path):
    table = {"title": HOSTILE, "note": HOSTILE, "header": [HOSTILE], "rows": [[HOSTILE]]}
    page = report(preset(tmp_path, [head_line(0, HOSTILE, 1, 9, **{HOSTILE: 3})], [table]))
    assert page.tags <= TAGS
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count(HOSTILE.replace("\ud800", "?")) >= 5


def test_heads_have_mean_spread_and_extremes_over_their_seeds(tmp_path):
    lines = [head_line(i, "wide", 42 + i, correct, AIME=correct + 1) for i, correct in enumerate([12, 10, 14])]
    page = report(preset(tmp_path, [*lines, head_line(3, "narrow", 42, 11)]))
    best, worst = accuracy(14), accuracy(10)
    extremes = [f"{a.value:.1%} ({a.low:.1%} to {a.high:.1%})" for a in (best, worst)]
    assert ["wide", "all", "3", "60.0%", "10.00 points", *extremes] in page.rows
    assert [row for row in page.rows if row[:4] == ["wide", "AIME", "3", "65.0%"]]
    (single,) = (row for row in page.rows if row[:2] == ["narrow", "all"])
    assert single[4] == "one seed: none"
    assert "1 head with one seed: no standard deviation." in page.text
    assert [image for image in page.images if "wide 60.0% (3 seeds), narrow 55.0% (1 seed)" in image["alt"]]


def test_a_run_without_a_preset_has_no_section_for_one(tmp_path):
    page = report(fill(tmp_path, [trial(0)]))
    assert "Spread over seeds" not in page.text
    assert "tables.json" not in page.text


def test_the_last_line_about_a_seed_counts(tmp_path):
    page = report(preset(tmp_path, [head_line(0, "a", 1, 5), head_line(0, "a", 1, 8), head_line(0, "a", 2, 10)]))
    assert [row for row in page.rows if row[:4] == ["a", "all", "2", "45.0%"]]


def test_every_seed_has_a_dot_and_every_head_its_mean():
    fits = [HeadFit(i, h, s, 0.6, {"all": accuracy(c)}) for i, (h, s, c) in enumerate([("a", 2, 4), ("a", 1, 8)])]
    assert [fit.seed for fit in by_head(fits)["a"]] == [1, 2]
    axes = seed_chart(by_head(fits)).axes[0]
    (dots,) = (line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()))
    assert dots.get_xdata().tolist() == [0.4, 0.2]
    assert len(set(dots.get_ydata())) == 2
    (mean,) = (line for line in axes.lines if line.get_marker() == "D" and len(line.get_xdata()))
    assert mean.get_xdata() == pytest.approx(0.3)


def test_the_standard_deviation_is_the_samples():
    found = spread([accuracy(8), accuracy(12)])
    assert found.std == pytest.approx(0.2 / math.sqrt(2))
    assert (found.best.correct, found.worst.correct) == (12, 8)
    assert spread([accuracy(8)]).std is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tables.json", "{}", r"tables.json: the file: expected list, got '{}'"),
        ("tables.json", '[{"note": ""}]', r"tables.json: title: expected str, got 'None'"),
        ("tables.json", json.dumps([TABLE | {"rows": [["a", 1]]}]), r"tables.json: rows: expected str, got '1'"),
        (
            "tables.json",
            json.dumps([TABLE | {"rows": [["a", "b"], ["a"]]}]),
            r"tables.json: table 'Left out', row 2: expected 2 cells, as its header has, got 1",
        ),
        ("heads.jsonl", "[]", r"heads.jsonl, line 1: the line: expected object"),
        ("heads.jsonl", json.dumps(head_line(0, "a", 1, 5) | {"seed": "x"}), r"line 1: seed: expected int, got 'x'"),
        (
            "heads.jsonl",
            json.dumps(head_line(0, "a", 1, 5) | {"accuracy": {}}),
            r"heads.jsonl: head 'a', seed 1: accuracy: expected 'all' among its keys",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        write_report(tmp_path)
    assert str(tmp_path / name) in str(error.value)
