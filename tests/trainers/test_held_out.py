"""What is measured from margins, against pandas, scipy and counts made pair by pair."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from trainers.held_out import Judged, compared, measured, quantiles, scaled
from tunejury_jax.metrics import accuracy, brier, expected_calibration_error, log_loss, reliability


def judged(n=300, seed=0, reads_prompts=True):
    generator = np.random.default_rng(seed)
    margins = generator.normal(0, 2, n)
    margins[generator.random(n) < 0.1] = 0
    targets = (generator.random(n) < 1 / (1 + np.exp(-margins))).astype(float)
    targets[generator.random(n) < 0.1] = 0.5
    empty = np.where(generator.random(n) < 0.2, -margins, margins) if reads_prompts else None
    return Judged(margins, targets, empty, generator.random(n) < 0.8)


def right(margin, target):
    return target != 0.5 and margin != 0 and (margin > 0) == (target > 0.5)


def test_the_paired_table_is_that_of_pandas_and_the_tests_those_of_scipy():
    of = judged()
    prompt = measured(of)["prompt"]
    decisive = [(m, e, t) for m, e, t in zip(of.margins, of.empty, of.targets, strict=True) if t != 0.5]
    a = pd.Series([right(m, t) for m, _, t in decisive])
    b = pd.Series([right(e, t) for _, e, t in decisive])
    table = pd.crosstab(a, b)
    assert prompt["table"] == {
        "both_right": table.loc[True, True],
        "only_with_prompt": table.loc[True, False],
        "only_without": table.loc[False, True],
        "neither_right": table.loc[False, False],
    }
    found = prompt["difference"]
    only_a, only_b = table.loc[True, False], table.loc[False, True]
    assert (found["b"], found["c"]) == (only_a, only_b)
    assert found["chi2"] == pytest.approx((only_a - only_b) ** 2 / (only_a + only_b))
    assert found["p"] == pytest.approx(scipy.stats.chi2.sf(found["chi2"], 1))
    assert found["p_exact"] == pytest.approx(scipy.stats.binomtest(only_a, only_a + only_b).pvalue)
    assert prompt["prompted"] == of.prompted.sum()
    assert prompt["empty"] == accuracy(of.empty, of.targets)._asdict()


def test_a_difference_of_accuracies_has_the_interval_of_paired_redraws():
    of = judged()
    found = compared(of.margins, of.empty, of.targets)
    decisive = of.targets != 0.5
    sides = [0.5 + (of.targets - 0.5)[decisive] * np.sign(m[decisive]) for m in (of.margins, of.empty)]
    oracle = scipy.stats.bootstrap(
        (*sides,),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found["value"] == pytest.approx(sides[0].mean() - sides[1].mean())
    assert (found["low"], found["high"]) == pytest.approx(tuple(oracle), abs=0.01)


def test_the_errors_are_those_of_the_metrics():
    of = judged()
    found = measured(of)
    bins = reliability(of.margins, of.targets)
    assert found["log_loss"]["value"] == pytest.approx(log_loss(of.margins, of.targets))
    assert found["brier"]["value"] == pytest.approx(brier(of.margins, of.targets))
    assert found["ece"]["value"] == pytest.approx(expected_calibration_error(bins))
    assert sum(row["n"] for row in found["bins"]) == accuracy(of.margins, of.targets).n_decisive
    for row, bin in zip(found["bins"], bins, strict=True):
        assert {name: row[name] for name in bin._fields} == bin._asdict()
        assert row["low"] <= row["accuracy"] <= row["high"]


def test_margins_are_told_apart_by_whether_they_are_right():
    of = judged()
    found = measured(of)["margins"]
    sizes = pd.Series(np.abs(of.margins))
    kind = pd.Series([right(m, t) for m, t in zip(of.margins, of.targets, strict=True)])
    undecided = (of.margins == 0) & (of.targets != 0.5)
    own = {"right": kind, "wrong": ~kind & ~undecided & (of.targets != 0.5), "ties": of.targets == 0.5}
    for name, rows in {**own, "all": np.ones(len(sizes), bool)}.items():
        expected = sizes[rows]
        assert found[name]["n"] == len(expected)
        values = {row["share"]: row["value"] for row in found[name]["quantiles"]}
        assert values == pytest.approx({share: expected.quantile(share) for share in values})
    assert found["right"]["n"] + found["wrong"]["n"] + found["ties"]["n"] + undecided.sum() == found["all"]["n"]


def test_a_median_lies_between_order_statistics_that_hold_it_as_often_as_they_say():
    n, held = 101, 0
    generator = np.random.default_rng(2)
    for _ in range(400):
        (row,) = quantiles(generator.normal(size=n), [0.5])
        held += row["low"] <= 0 <= row["high"]
    assert 365 <= held <= 397  # at least 95 % of 400, and 3 deviations
    (row,) = quantiles(np.arange(1.0, 102.0), [0.5])
    low, high = (scipy.stats.binom(n, 0.5).ppf(tail) for tail in (0.025, 0.975))
    assert (row["low"], row["value"], row["high"]) == (low, 51.0, high + 1)


def test_few_values_have_their_extremes_for_an_interval():
    assert quantiles(np.array([3.0]), [0.05, 0.95]) == [
        {"share": share, "value": 3.0, "low": 3.0, "high": 3.0} for share in (0.05, 0.95)
    ]


def test_a_temperature_is_judged_by_the_errors_of_the_divided_margins():
    of = judged()
    found = scaled(of, 2.0)
    halved = measured(of._replace(margins=of.margins / 2))
    whole = measured(of)
    for error in ("log_loss", "brier", "ece"):
        assert found["before"][error] == whole[error]
        assert found["after"][error] == halved[error]
        assert found["change"][error]["value"] == pytest.approx(halved[error]["value"] - whole[error]["value"])
        assert found["change"][error]["low"] < found["change"][error]["high"]
    assert scaled(of, 1.0)["change"]["ece"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def values(found):
    """The numbers that do not depend on which rows were redrawn."""
    prompt = found["prompt"]
    tests = [prompt["difference"][name] for name in ("value", "b", "c", "chi2", "p", "p_exact")]
    bins = [value for row in found["bins"] for value in row.values()]
    sizes = [q["value"] for kind in found["margins"].values() for q in kind["quantiles"]]
    errors = [found[name]["value"] for name in ("log_loss", "brier", "ece")]
    return [*errors, *bins, *sizes, *tests, *prompt["table"].values(), prompt["prompted"]]


def test_the_order_of_pairs_and_their_sides_do_not_matter():
    of = judged()
    expected = values(measured(of))
    order = np.random.default_rng(3).permutation(len(of.margins))
    shuffled = Judged(*(column[order] for column in of))
    swapped = of._replace(margins=-of.margins, targets=1 - of.targets, empty=-of.empty)
    for other in (shuffled, swapped):
        assert values(measured(other)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_pairs_counted_twice_change_no_value_but_the_counts():
    of = judged(n=200, seed=5)
    of = of.of((of.targets != 0.5) & (np.cumsum(of.targets != 0.5) <= 100))
    twice = Judged(*(np.tile(column, 2) for column in of))
    one, two = measured(of), measured(twice)
    for error in ("log_loss", "brier", "ece"):
        assert two[error]["value"] == pytest.approx(one[error]["value"])
    assert two["prompt"]["difference"]["value"] == pytest.approx(one["prompt"]["difference"]["value"])
    assert two["prompt"]["difference"]["chi2"] == pytest.approx(2 * one["prompt"]["difference"]["chi2"])
    assert [2 * n for n in one["prompt"]["table"].values()] == list(two["prompt"]["table"].values())


def test_margins_of_0_everywhere_are_undecided_and_say_nothing():
    of = judged()
    silent = of._replace(margins=np.zeros_like(of.margins), empty=np.zeros_like(of.margins))
    found = measured(silent)
    assert found["ece"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["log_loss"]["value"] == pytest.approx(math.log(2))
    assert found["margins"]["right"] == found["margins"]["wrong"] == {"n": 0, "quantiles": []}
    assert (found["prompt"]["difference"]["chi2"], found["prompt"]["difference"]["p_exact"]) == (0.0, 1.0)


def test_a_head_that_reads_no_prompt_has_no_test_of_prompts():
    assert measured(judged(reads_prompts=False))["prompt"] is None


def test_everything_is_plain_json():
    found = {"measured": measured(judged()), "scaled": scaled(judged(), 1.5)}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_pairs_without_a_winner_are_refused():
    with pytest.raises(ValueError, match="targets: no decisive pair among 3"):
        measured(Judged(np.ones(3), np.full(3, 0.5), None, np.zeros(3, bool)))
