"""Metrics against scipy, closed forms, plain loops and the paper's numbers."""

import math

import numpy as np
import pytest
import scipy.stats

from tunejury_jax import metrics
from tunejury_jax.metrics import ReliabilityBin

PAPER = {"MusicArena": (16, 20, 0.8), "MusicPrefs": (148, 206, 0.7184), "AIME": (1052, 1560, 0.6744)}
PAPER |= {"SongEval": (226, 249, 0.9076), "all": (1442, 2035, 0.7086)}


def sample(n=500, seed=0):
    generator = np.random.default_rng(seed)
    margins = generator.normal(0, 2, n)
    margins[generator.random(n) < 0.05] = 0
    targets = (generator.random(n) < 1 / (1 + np.exp(-margins))).astype(float)
    targets[generator.random(n) < 0.1] = 0.5
    return margins, targets


def right_and_wrong(right, n):
    return np.where(np.arange(n) < right, 1.3, -0.2), np.ones(n)


def everything(margins, targets):
    bins = metrics.reliability(margins, targets)
    table = [value for bin in bins for value in bin]
    return [
        *metrics.accuracy(margins, targets),
        metrics.log_loss(margins, targets),
        *table,
        metrics.expected_calibration_error(bins),
    ]


@pytest.mark.parametrize("source", PAPER)
def test_accuracy_gives_the_published_numbers(source):
    right, n, published = PAPER[source]
    result = metrics.accuracy(*right_and_wrong(right, n))
    assert round(result.value, 4) == published
    assert (result.n_decisive, result.correct, result.undecided, result.ties) == (n, right, 0, 0)


def test_accuracy_of_the_paper_has_its_wilson_interval():
    oracle = scipy.stats.binomtest(1442, 2035).proportion_ci(method="wilson")
    assert metrics.accuracy(*right_and_wrong(1442, 2035))[1:3] == pytest.approx(tuple(oracle), abs=1e-12)


def test_accuracy_counts_undecided_half_and_leaves_ties_out():
    margins = np.array([2.0, -1.0, 0.5, 0.0, -0.0, 9.0, 0.0])
    targets = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.5, 0.5])
    result = metrics.accuracy(margins, targets)
    assert (result.n_decisive, result.correct, result.undecided, result.ties) == (5, 2, 2, 2)
    assert result.value == 3 / 5
    assert (result.low, result.high) == metrics.wilson(3, 5)


def test_accuracy_of_a_head_without_an_opinion_is_a_half():
    assert metrics.accuracy(np.zeros(7), np.array([1.0, 1, 1, 1, 1, 0, 0])).value == 0.5


def test_outcomes_against_a_plain_loop():
    margins, targets = sample()
    expected = []
    for margin, target in zip(margins, targets, strict=True):
        if target == 0.5:
            continue
        expected.append(0.5 if margin == 0 else float((margin > 0) == (target == 1)))
    np.testing.assert_array_equal(metrics.outcomes(margins, targets), expected)


def test_float32_margins_are_reduced_in_float64():
    margins, targets = sample(20_000)
    margins = margins.astype(np.float32)
    assert everything(margins, targets.astype(np.float32)) == everything(margins.astype(np.float64), targets)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 20), (1442, 2035)])
def test_wilson_against_scipy(successes, trials, level):
    oracle = scipy.stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert metrics.wilson(successes, trials, level) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_wilson_ends_are_where_the_score_test_just_rejects():
    share, n, z = 10.5 / 33, 33, scipy.stats.norm.ppf(0.975)
    for end in metrics.wilson(10.5, n):
        assert (share - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, rel=1e-10)


@pytest.mark.parametrize("n", [1, 9, 10, 11, 19, 20, 237])
@pytest.mark.parametrize("bins", [1, 3, 10])
def test_reliability_against_a_plain_loop(n, bins):
    generator = np.random.default_rng(n)
    margins, targets = generator.normal(0, 3, n), generator.integers(0, 2, n).astype(float)
    rows = sorted(zip(np.abs(margins), (margins > 0) == (targets == 1), strict=True))
    count = min(bins, n)
    table = metrics.reliability(margins, targets, bins)
    assert len(table) == count
    for k, found in enumerate(table):
        chosen = rows[k * (n // count) :] if k == count - 1 else rows[k * (n // count) : (k + 1) * (n // count)]
        sizes = [size for size, _ in chosen]
        confidence = sum(1 / (1 + math.exp(-size)) for size in sizes) / len(sizes)
        share = sum(right for _, right in chosen) / len(sizes)
        expected = (sizes[0], sizes[-1], len(sizes), sum(sizes) / len(sizes), confidence, share)
        assert tuple(found) == pytest.approx(expected, rel=1e-12)


def test_reliability_leaves_ties_out_and_counts_undecided_half():
    (only,) = metrics.reliability(np.array([0.0, 5.0, 0.0]), np.array([1.0, 0.5, 0.0]))[:1]
    assert only == ReliabilityBin(0.0, 0.0, 1, 0.0, 0.5, 0.5)


def test_reliability_shares_outcomes_among_equal_margins():
    margins, targets = right_and_wrong(1, 2)[1] * 0.7, np.array([1.0, 0.0])
    assert [bin.accuracy for bin in metrics.reliability(margins, targets)] == [0.5, 0.5]


def test_calibration_error_of_a_hand_made_table():
    table = [ReliabilityBin(0, 1, 3, 0.5, 0.6, 0.5), ReliabilityBin(1, 2, 1, 1.5, 0.8, 1.0)]
    assert metrics.expected_calibration_error(table) == pytest.approx((3 * 0.1 + 1 * 0.2) / 4)


def test_calibration_error_vanishes_for_calibrated_margins_only():
    margins = np.random.default_rng(0).normal(0, 2, 200_000)
    targets = (np.random.default_rng(1).random(200_000) < 1 / (1 + np.exp(-margins))).astype(float)
    assert metrics.expected_calibration_error(metrics.reliability(margins, targets)) < 0.005
    assert metrics.expected_calibration_error(metrics.reliability(4 * margins, targets)) > 0.1


@pytest.mark.parametrize("seed", range(20))
def test_calibration_error_is_a_share(seed):
    margins, targets = sample(60, seed)
    assert 0 <= metrics.expected_calibration_error(metrics.reliability(margins * 10**seed, targets)) <= 1


def test_always_confidently_wrong_is_the_worst_calibration():
    assert metrics.expected_calibration_error(metrics.reliability(np.full(50, 99.0), np.zeros(50))) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_swapping_the_sides_changes_nothing(seed):
    margins, targets = sample(seed=seed)
    assert everything(-margins, 1 - targets) == everything(margins, targets)
    assert everything(margins, 1 - targets) != everything(margins, targets)


@pytest.mark.parametrize("digits", [0, 12])
def test_the_order_of_rows_changes_nothing(digits):
    margins, targets = sample()
    margins = margins.round(digits)  # at 0 digits, equal margins straddle the borders of bins
    rows = np.random.default_rng(1).permutation(len(margins))
    assert everything(margins[rows], targets[rows]) == pytest.approx(everything(margins, targets), rel=1e-12)


def test_log_loss_against_a_plain_loop():
    margins, targets = sample()
    terms = []
    for margin, y in zip(margins, targets, strict=True):
        p = 1 / (1 + math.exp(-margin))
        terms.append(-y * math.log(p) - (1 - y) * math.log(1 - p))
    assert metrics.log_loss(margins, targets) == pytest.approx(math.fsum(terms) / len(terms), rel=1e-12)


@pytest.mark.parametrize(
    ("margin", "target", "expected"),
    [
        (0.0, 1.0, math.log(2)),
        (800.0, 1.0, 0.0),
        (-800.0, 1.0, 800.0),
        (800.0, 0.0, 800.0),
        (-800.0, 0.5, 400.0),
        (40.0, 1.0, math.exp(-40)),
        (1e300, 0.0, 1e300),
    ],
)
def test_log_loss_far_from_zero(margin, target, expected):
    assert metrics.log_loss(np.array([margin]), np.array([target])) == pytest.approx(expected, rel=1e-12, abs=0)


def test_log_loss_of_ties_alone_is_defined():
    assert metrics.log_loss(np.zeros(3), np.full(3, 0.5)) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("b", "c"), [(1, 0), (10, 3), (3, 10), (200, 130), (7, 7)])
def test_mcnemar_against_the_chi_square_distribution(b, c):
    first = np.array([True] * b + [False] * c + [True] * 5 + [False] * 4)
    second = np.array([False] * b + [True] * c + [True] * 5 + [False] * 4)
    chi2 = (b - c) ** 2 / (b + c)
    assert metrics.mcnemar(first, second)[:3] == (b, c, chi2)
    assert metrics.mcnemar(first, second).p == pytest.approx(scipy.stats.chi2.sf(chi2, 1), rel=1e-10)


def test_mcnemar_of_protocols_that_never_disagree():
    same = np.array([True, False])
    assert metrics.mcnemar(same, same) == (0, 0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("levels", [3, 5, 10_000])
def test_spearman_against_scipy_and_in_any_row_order(levels):
    generator = np.random.default_rng(levels)
    x = generator.integers(0, levels, 300).astype(float)
    y = (x + generator.integers(0, levels, 300)) // 2
    assert metrics.spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y)[0], rel=1e-12)
    rows = generator.permutation(300)
    assert metrics.spearman(x[rows], y[rows]) == pytest.approx(metrics.spearman(x, y), rel=1e-12)


def test_spearman_of_a_monotone_relation_is_one():
    x = np.linspace(-2, 2, 30)
    assert metrics.spearman(x, np.exp(x)) == pytest.approx(1)
    assert metrics.spearman(x, -(x**3)) == pytest.approx(-1)


def test_bootstrap_of_a_mean_is_near_the_normal_interval():
    x = np.random.default_rng(0).normal(5, 2, 2000)
    low, high = metrics.bootstrap(np.mean, x, samples=4000)
    half = 1.96 * x.std() / math.sqrt(len(x))
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.05 * half)


def test_bootstrap_interval_of_an_accuracy_is_near_wilson():
    margins, targets = right_and_wrong(1442, 2035)
    found = metrics.bootstrap(lambda m, t: metrics.accuracy(m, t).value, margins, targets)
    assert found == pytest.approx(metrics.wilson(1442, 2035), abs=0.004)


def test_bootstrap_redraws_the_rows_of_all_arrays_alike():
    x = np.random.default_rng(0).normal(size=(50, 3))
    assert metrics.bootstrap(lambda a, b: float(np.abs(a.sum(1) - b).max()), x, x.sum(1), samples=20) == (0, 0)


def test_bootstrap_depends_on_its_seed_alone():
    x = np.random.default_rng(0).normal(size=100)
    np.random.seed(0)  # the global state, which must not matter
    first = metrics.bootstrap(np.mean, x, samples=50, seed=3)
    np.random.seed(1)
    assert metrics.bootstrap(np.mean, x, samples=50, seed=3) == first
    assert metrics.bootstrap(np.mean, x, samples=50, seed=4) != first


def test_bootstrap_level_is_the_share_inside():
    x = np.arange(200.0)
    draws = []
    wide = metrics.bootstrap(lambda a: draws.append(a.mean()) or draws[-1], x, level=0.9)
    assert np.mean((draws >= np.float64(wide.low)) & (draws <= np.float64(wide.high))) == pytest.approx(0.9, abs=0.002)


PAIRWISE = [metrics.accuracy, metrics.outcomes, metrics.reliability, metrics.log_loss]


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("metric", PAIRWISE)
@pytest.mark.parametrize(
    ("margins", "targets", "message"),
    [
        ([1.0], [1.0, 0.0], r"margins, targets: expected equal lengths of at least 1, got 1 margins, 2 targets"),
        ([], [], r"margins, targets: expected equal lengths of at least 1, got 0 margins, 0 targets"),
        ([1.0, math.nan], [1.0, 0.0], r"margins\[1\]: expected a finite number, got nan"),
        ([math.inf, 1.0], [1.0, 0.0], r"margins\[0\]: expected a finite number, got inf"),
        ([1.0, 1.0], [1.0, 0.9], r"targets\[1\]: expected 0, 0.5 or 1, got 0.9"),
        ([1.0, 1.0], [math.nan, 1.0], r"targets\[0\]: expected 0, 0.5 or 1, got nan"),
    ],
)
def test_pairwise_metrics_refuse_bad_input(metric, margins, targets, message):
    with pytest.raises(ValueError, match=message):
        metric(np.array(margins), np.array(targets))


@pytest.mark.parametrize("metric", PAIRWISE[:3])
def test_there_is_no_accuracy_of_ties(metric):
    with pytest.raises(ValueError, match=r"targets: no decisive pair among 2, all are ties \(0.5\)"):
        metric(np.ones(2), np.full(2, 0.5))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.wilson(1, 0), r"trials: expected at least 1, got 0"),
        (lambda: metrics.wilson(3, 2), r"successes: expected 0 to 2, got 3"),
        (lambda: metrics.wilson(-1, 2), r"successes: expected 0 to 2, got -1"),
        (lambda: metrics.wilson(math.nan, 2), r"successes: expected 0 to 2, got nan"),
        (lambda: metrics.wilson(1, 2, level=95), r"level: expected a number between 0 and 1, got 95"),
        (lambda: metrics.reliability(np.ones(2), np.ones(2), 0), r"bins: expected at least 1, got 0"),
        (lambda: metrics.expected_calibration_error([]), r"bins: expected at least one, got none"),
        (
            lambda: metrics.mcnemar(np.ones(2, bool), np.ones(3, bool)),
            r"correct_a, correct_b: expected equal lengths of at least 1, got 2 correct_a, 3 correct_b",
        ),
        (lambda: metrics.mcnemar(np.ones(2, bool), np.ones(2, int)), r"correct_b: expected booleans, got int64"),
        (lambda: metrics.spearman(np.arange(2.0), np.arange(3.0)), r"x, y: expected equal lengths"),
        (lambda: metrics.spearman(np.ones(3), np.arange(3.0)), r"x: expected at least two .*, got 3 of 1"),
        (lambda: metrics.spearman(np.arange(3.0), np.ones(3)), r"y: expected at least two .*, got 3 of 1"),
        (lambda: metrics.spearman(np.array([0, math.nan]), np.arange(2.0)), r"x\[1\]: expected a finite"),
        (lambda: metrics.bootstrap(np.mean), r"arrays: expected equal lengths of at least 1, got none"),
        (lambda: metrics.bootstrap(np.mean, np.ones(0)), r"arrays\[0\]: .*, got 0 arrays\[0\]"),
        (lambda: metrics.bootstrap(np.mean, np.ones(2), np.ones(3)), r"got 2 arrays\[0\], 3 arrays\[1\]"),
        (lambda: metrics.bootstrap(np.mean, np.ones(2), samples=0), r"samples: expected at least 1, got 0"),
        (lambda: metrics.bootstrap(np.mean, np.ones(2), level=0), r"level: expected a number between 0 and 1, got 0"),
        (lambda: metrics.bootstrap(lambda x: math.nan, np.ones(2)), r"statistic\[0\]: expected a finite"),
    ],
)
def test_bad_arguments_are_named_with_what_is_accepted(call, message):
    with pytest.raises(ValueError, match=message):
        call()
