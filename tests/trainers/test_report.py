"""Reports of made-up runs: what the page says, that it stands alone, and that nothing in a file can get out of it."""

import base64
import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image
from run_factory import HOSTILE, TAGS, check_texts, curve, failed, fill, held_out, report, trial, trials_of, write_lines

from trainers.report import ReportConfig, main
from trainers.reporting import plots, search_plots
from trainers.reporting.importance import Importance
from trainers.reporting.parallel_plot import parallel_coordinates
from trainers.reporting.run_page import write_report
from trainers.reporting.run_reader import Epoch, HeadFit, Trial, best_of
from trainers.reporting.seed_spread import seed_chart
from tunejury_jax import metrics
from tunejury_jax.figures.reliability import reliability_diagram


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep of 40 trials, three of them failed and one diverged, that was evaluated."""
    run = tmp_path_factory.mktemp("runs") / "sweep"
    trials = [trial(n) for n in range(36)] + [failed(n) for n in (36, 37, 38)] + [trial(39, valid_loss=math.inf)]
    epochs = [e for n in range(36) for e in curve(n)] + [{**next(curve(36)), "valid_loss": math.nan}]
    return fill(run, trials, epochs, held_out())


@pytest.fixture(scope="module")
def page(sweep):
    return report(sweep)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Every text that a file can bring along is an attack."""
    rename = lambda name: f"{name} {HOSTILE}"  # noqa: E731
    params = {HOSTILE: HOSTILE, "listed": [HOSTILE], "n": 1}
    trials = [trial(0, params=params), trial(1, params={**params, HOSTILE: "other", "n": 2}), failed(2, HOSTILE)]
    config = {"store": HOSTILE, HOSTILE: {"deep": HOSTILE}}
    run = tmp_path_factory.mktemp("runs") / "<script>alert(3)<b>"
    return report(fill(run, trials, curve(0), held_out(rename), config))


def test_the_page_is_well_formed_and_stands_alone(page):
    assert page.tags <= TAGS
    assert len(page.images) == 7
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    known = {"alt", "src", "class", "scope", "lang", "charset", "name", "content", "http-equiv"}
    assert {name for name, _ in page.attributes} <= known
    for outside in ("http:", "https:", "//", "url(", "@import"):
        assert outside not in page.html.split("base64,")[0]
    assert "default-src 'none'" in page.html


def test_the_page_adapts_to_dark_screens_phones_and_print(page):
    for rule in ("prefers-color-scheme: dark", "@media print", "width=device-width"):
        assert rule in page.html


def test_every_picture_is_a_legible_png_with_a_description(page):
    for image in page.images:
        picture = Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1], validate=True)))
        assert picture.format == "PNG"
        assert picture.width >= 900
        assert np.asarray(picture.convert("L")).std() > 5
        assert len(image["alt"]) > 40


def test_the_headline_has_accuracy_chance_and_baseline(page, sweep):
    found = json.loads((sweep / "test/metrics.json").read_text())["accuracy"]
    assert f"{found['value']:.1%}" in page.text
    assert f"{found['low']:.1%} to {found['high']:.1%}" in page.text
    counts = f"{found['correct']} right and 1 undecided of {found['n_decisive']} decisive pairs; {found['ties']} ties"
    assert counts in page.text
    assert "chance; binomial test of the head against it: p < 1e-300" in page.text
    assert "strongest baseline, louder clip wins" in page.text
    assert "McNemar test of the head against it: p = 2e-09" in page.text


def test_the_leaderboard_is_the_best_twenty_in_order(page):
    rows = [row for row in page.rows if row[0].isdigit() and len(row) == 10]
    by_loss = sorted((trial(n) for n in range(36)), key=lambda t: (t["valid_loss"], t["trial"]))
    assert [int(row[1]) for row in rows] == [t["trial"] for t in by_loss[:20]]
    assert rows[0] == ["1", "0", "0.6000", "0.7", "5", "12", "3.25", "0.0001", "0.1", "[64, 8]"]
    assert "20 of 40 trials" in page.text


def test_failed_and_diverged_trials_are_counted_with_their_errors(page):
    assert "4 ended without a result." in page.text
    assert ["37", "failed", "the loss is not finite"] in page.rows
    assert ["39", "complete", "no finite validation loss"] in page.rows
    assert "40 trials37 complete, 3 failed" in page.text
    assert "36 trials with a result, 4 without" in page.text


def test_sources_baselines_and_skipped_pairs_are_tabled(page, sweep):
    a = json.loads((sweep / "test/metrics.json").read_text())["by_source"]["SongEval"]
    counts = [str(a[name]) for name in ("n_decisive", "correct", "undecided", "ties")]
    assert ["SongEval", f"{a['value']:.1%}", f"{a['low']:.1%} to {a['high']:.1%}", *counts] in page.rows
    assert ["no audio", "3"] in page.rows
    (baseline,) = (row for row in page.rows if row[0] == "louder clip wins")
    assert baseline[-2:] == ["p = 2e-09", "more energy"]


def test_the_configuration_is_flat_and_complete(page):
    for row in (["store", "/data/store"], ["asked.seed", "42"], ["asked.space", "{}"], ["asked.data.pool", '["a", 1]']):
        assert row in page.rows


def test_the_same_files_give_the_same_page(sweep, page):
    assert report(sweep).html == page.html


def test_one_trained_head_has_nothing_to_compare(tmp_path):
    page = report(fill(tmp_path, [trial(0)], curve(0)))
    assert len(page.images) == 1
    assert "No hyper-parameter varied" in page.text
    assert "Missing: held-out accuracy, chance and baselines. The run has no test/metrics.json" in page.text


def test_a_run_of_failures_is_reported(tmp_path):
    page = report(fill(tmp_path, [failed(0), failed(1)], [next(curve(0))]))
    assert "2 ended without a result." in page.text
    assert "2 failed" in page.text


def test_missing_files_are_said(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    page = report(tmp_path)
    assert page.images == []
    for name in ("trials.jsonl", "epochs.jsonl", "test/metrics.json", "test/predictions.csv"):
        assert f"The run has no {name}" in page.text
    write_lines(tmp_path / "trials.jsonl", [])
    (tmp_path / "config.json").unlink()
    assert "The run has no config.json" in report(tmp_path).text


def test_hostile_text_is_shown_and_never_obeyed(hostile):
    assert hostile.tags <= TAGS
    assert hostile.text.count("Run <script>alert(3)<b>") == 2
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:image/png;base64,") for image in hostile.images)
    shown = HOSTILE.replace("\ud800", "?")
    assert ["store", shown] in hostile.rows
    assert [f"{shown}.deep", shown] in hostile.rows
    assert ["2", "failed", shown] in hostile.rows
    assert [row for row in hostile.rows if row[0] == f"no audio {shown}"]
    assert [row for row in hostile.rows if row[0] == f"louder clip wins {shown}" and row[-1] == f"more energy {shown}"]
    assert [image for image in hostile.images if f"AIME {shown}" in image["alt"]]


def test_the_last_line_about_a_trial_counts(tmp_path):
    lines = [trial(0, state="running", valid_loss=None), trial(1), trial(0, valid_loss=0.25)]
    page = report(fill(tmp_path, lines, [*curve(0, 2), *curve(0, 2)]))
    assert "2 trials" in page.text
    assert "2 complete" in page.text
    assert "trial 0best, with a validation loss of 0.2500" in page.text


STARTED = '{"trial": 0, "state": "complete", "params": {}'
HEADER = "pair_id,source,target,margin\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "[]", r"config.json: the file: expected object, got '\[\]'"),
        ("config.json", "{", r"config.json: Expecting property name"),
        ("trials.jsonl", STARTED + '}\n\n{"trial', r"trials.jsonl, line 3: Unterminated"),
        ("trials.jsonl", "[]\n", r"trials.jsonl, line 1: the line: expected object, got '\[\]'"),
        ("trials.jsonl", '{"state": "complete"}', r"trials.jsonl, line 1: trial: expected int, got 'None'"),
        ("trials.jsonl", '{"trial": true}', r"line 1: trial: expected int, got 'True'"),
        ("trials.jsonl", STARTED + ', "valid_loss": "low"}', r"line 1: valid_loss: expected float or null, got 'low'"),
        ("trials.jsonl", b'{"trial": "\xff"}', r"trials.jsonl, line 1: 'utf-8' codec"),
        ("epochs.jsonl", '{"trial": 0, "epoch": 1, "train_loss": 1}', r"line 1: valid_loss: expected float, got"),
        ("epochs.jsonl", '{"trial": 0, "epoch": 1, "train_loss": 1' + "0" * 400 + "}", r"line 1: int too large"),
        ("test/metrics.json", '{"split": "test", "accuracy": {"value": 1}}', r"metrics.json: low: expected float"),
        ("test/predictions.csv", "", r"line 1: expected the columns pair_id, source, target, margin, got"),
        ("test/predictions.csv", HEADER + "p,s,1\n", r"line 2: expected 4 columns, got"),
        ("test/predictions.csv", HEADER + "p,s,1,2\np,s,0.7,2\n", r"line 3: expected a target of 0, 0.5 or 1"),
        ("test/predictions.csv", HEADER + "p,s,1,nan\n", r"line 2: .* finite margin, got '1' and 'nan'"),
        ("test/predictions.csv", HEADER + "p,s,1,x\n", r"line 2: could not convert string to float"),
        ("test/predictions.csv", b"pair_id\xff", r"predictions.csv: 'utf-8' codec"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as error:
        write_report(tmp_path)
    assert str(path) in str(error.value)
    assert not (tmp_path / "report.html").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"run: '.*nowhere' holds none of config.json, trials.jsonl"):
        write_report(tmp_path / "nowhere")


def test_the_command_prints_where_the_report_is(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    main(ReportConfig(tmp_path))
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    command = [sys.executable, "-m", "trainers.report", "--run", str(tmp_path / "nowhere")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "holds none of config.json" in refused.stderr


def panel(name, values, losses=None):
    return search_plots.hyper_parameters(trials_of(name, values, losses)).axes[0]


def points(line):
    return [tuple(point) for point in line.get_xydata().tolist()]


def sources_figure(**baselines):
    document, _ = held_out(lambda name: f"{name} of a rather long name with $_$ in it")
    accuracies = {name: metrics.Accuracy(**record) for name, record in document["by_source"].items()}
    return plots.accuracy_by_source(metrics.Accuracy(**document["accuracy"]), accuracies, {**accuracies, **baselines})


def reliability_figure(count):
    bins = [metrics.ReliabilityBin(**record) for record in held_out()[0]["bins"]]
    return reliability_diagram(bins[:count])


def curves_figure(trials, epochs, best_epoch):
    rows = [Epoch(**e) for n in range(trials) for e in curve(n, epochs)]
    return plots.learning_curves(rows, Trial(**trial(0, best_epoch=best_epoch)))


TIE = metrics.Accuracy(0.5, 0.1, 0.9, 4, 2, 0, 7)
DECADE = trials_of("r", [0.03, 0.1, 0.2, 0.4, 0.7])
CATEGORIES = trials_of("n" * 60, [f"{i} {'word ' * 9}" for i in range(30)])
SURE = Importance(0.5, 0.3, 0.9, 0.4)


def seed_of(head, seed):
    correct = (7 * seed + head) % 12
    accuracy = metrics.Accuracy(correct / 12, *metrics.wilson(correct, 12), 12, correct, 0, 1)
    return HeadFit(head, f"head {head}", seed, 0.6, {"all": accuracy, "AIME": accuracy})


FIGURES = {
    "curves of 200": lambda: curves_figure(200, 12, 5),
    "curves of 1": lambda: curves_figure(1, 1, 1),
    "sources": sources_figure,
    "sources and a baseline": lambda: sources_figure(**{"word " * 20: TIE._replace(value=0.99)}),
    "one source": lambda: plots.accuracy_by_source(TIE, {}, {}),
    "reliability": lambda: reliability_figure(10),
    "one bin": lambda: reliability_figure(1),
    "margins": lambda: plots.margin_histogram(np.array([3.0, -1, 0, 900, 1]), np.array([1.0, 1, 1, 0, 0.5])),
    "no margins": lambda: plots.margin_histogram(np.zeros(3), np.ones(3)),
    "parameters of 200": lambda: search_plots.hyper_parameters([Trial(**trial(n)) for n in range(200)]),
    "parameters of 2": lambda: search_plots.hyper_parameters([Trial(**trial(n)) for n in range(2)]),
    "parameters over a decade and more": lambda: search_plots.hyper_parameters(DECADE),
    "long categories": lambda: search_plots.hyper_parameters(CATEGORIES),
    "parallel coordinates of 256": lambda: parallel_coordinates([Trial(**trial(n)) for n in range(256)]),
    "parallel coordinates of 3": lambda: parallel_coordinates([Trial(**trial(n)) for n in range(3)]),
    "parallel coordinates over a decade": lambda: parallel_coordinates(DECADE),
    "parallel coordinates of long categories": lambda: parallel_coordinates(CATEGORIES),
    "importance": lambda: search_plots.importance_chart({"n" * 60: SURE, "dropout": SURE, "widths": SURE}),
    "seeds": lambda: seed_chart(
        {f"head {h} {'word ' * 9}": [seed_of(h, s) for s in range(5 * h + 1)] for h in range(3)}
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_text_of_a_picture_is_whole_apart_and_names_the_axes(name, monkeypatch):
    figure = FIGURES[name]()
    check_texts(figure, monkeypatch)
    assert figure.get_supylabel() or all(axes.get_ylabel() for axes in figure.axes)
    assert figure.axes[-1].get_xlabel()


def test_the_loss_range_ignores_the_first_epochs_and_says_so():
    epochs = [Epoch(**e) for n in range(5) for e in curve(n, 60)]
    axes = plots.learning_curves(epochs, Trial(**trial(0))).axes[0]
    low, high = axes.get_ylim()
    assert max(e.valid_loss for e in epochs) > 5
    assert high < 1
    assert low < min(e.train_loss for e in epochs if e.trial == 0)
    above = sum(e.valid_loss > high for e in epochs) + sum(e.train_loss > high for e in epochs if e.trial == 0)
    assert axes.get_title(loc="left") == f"{above} of 360 points lie above the range or are not finite"


def test_the_star_marks_the_best_epoch_of_the_best_trial():
    epochs = [Epoch(**e) for n in range(3) for e in curve(n)]
    axes = plots.learning_curves(epochs, Trial(**trial(1, best_epoch=7))).axes[0]
    (star,) = (line for line in axes.lines if line.get_marker() == "*")
    assert points(star) == [(7, next(e.valid_loss for e in epochs if (e.trial, e.epoch) == (1, 7)))]


@pytest.mark.parametrize(
    ("values", "scale"), [([1e-4, 1e-2], "log"), ([1.0, 20], "linear"), ([0.0, 100], "linear"), ([-1, 50], "linear")]
)
def test_a_wide_range_of_positive_numbers_is_logarithmic(values, scale):
    assert panel("rate", values).get_xscale() == scale


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([[8, 4], [16, 8]], ["16-8", "8-4"]),
        ([True, False], ["false", "true"]),
        (["auto", 3], ["3", "auto"]),
        (["x" * 40, "y"], ["x" * 9 + "…" + "x" * 8, "y"]),
        ([None, 1e400], ["Infinity", "null"]),
        ([10**400, 1], None),
        ([f"v{i:02}" for i in range(12)], [*(f"v{i:02}" for i in range(6)), "6 others"]),
    ],
)
def test_other_values_are_categories(values, labels):
    found = [label.get_text() for label in panel("setting", values).get_xticklabels()]
    assert len(found) == 2 if labels is None else found == labels


def test_a_trial_far_above_the_others_is_a_triangle():
    axes = panel("rate", [1, 2, 3, 4, 5, 6], [0.5, 0.51, 0.52, 0.53, 0.54, 1e6])
    (triangle,) = (line for line in axes.lines if line.get_marker() == "^")
    assert points(triangle) == [(6, axes.get_ylim()[1])]
    assert axes.get_ylim()[1] < 1


def test_only_what_varied_among_the_ranked_is_compared():
    trials = [Trial(**trial(0, params={"a": 1, "b": 1})), Trial(**trial(1, params={"a": 2, "b": 1}))]
    trials.append(Trial(**failed(2))._replace(params={"a": 3, "b": 9}))
    assert search_plots.varied(trials) == ["a"]
    with pytest.raises(ValueError, match="expected a hyper-parameter of at least two values, got 1 ranked trials"):
        search_plots.hyper_parameters(trials[:1])


def test_the_best_is_the_earliest_of_least_loss():
    trials = [Trial(**trial(n, valid_loss=loss)) for n, loss in enumerate([0.7, 0.5, 0.5, math.nan])]
    assert best_of(trials) is trials[1]
    assert best_of([Trial(**failed(0))]) is None


def test_the_histogram_counts_every_decisive_pair_on_its_side():
    margins = np.array([3.0, -1.0, 0.5, 0.0, 1e9, -0.2, 2.0, -4.0])
    targets = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.5, 1.0, 0.0])
    figure = plots.margin_histogram(margins, targets)
    bars = [bar for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert sum(bar.get_height() for bar in bars if bar.get_center()[0] > 0) == 5
    assert sum(bar.get_height() for bar in bars if bar.get_center()[0] < 0) == 1
    assert figure.axes[0].get_title(loc="left") == "1 beyond the ends are counted in the outer bars"
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert set(labels) == {"correct (5)", "incorrect (1)", "undecided, margin 0 (1)"}


def test_intervals_of_the_reliability_diagram_are_wilsons():
    b = metrics.ReliabilityBin(0.1, 0.9, 40, 0.5, 0.62, 0.75)
    axes = reliability_diagram([b]).axes[0]
    low, high = metrics.wilson(30, 40)
    assert [points(line) for line in axes.lines[:2]] == [[(0.62, low), (0.62, high)], [(0.62, 0.75)]]
