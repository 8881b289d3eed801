"""What is selected from the first N: against a plain loop, and the laws it keeps."""

from pathlib import Path

import numpy as np
import pytest

from tunejury_jax.applications.best_of_n.page import page_sections
from tunejury_jax.applications.best_of_n.selection import NONE, BestOfN, check_sizes, reward_table, select
from tunejury_jax.applications.best_of_n.table import curve_rows, selected_rows
from tunejury_jax.applications.candidates import Scored, list_candidates
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.applications.row_tables import as_csv, flat_rows
from tunejury_jax.evaluation import estimates

SIZES = (1, 2, 4, 8)


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch):
    monkeypatch.setattr(estimates, "REDRAWS", 10)


def drawn(prompts=6, count=8, seed=0, missing=0.0):
    """Rewards with many ties; some are missing."""
    generator = np.random.default_rng(seed)
    rewards = generator.integers(-3, 4, (prompts, count)) / 2
    return np.where(generator.random(rewards.shape) < missing, np.nan, rewards)


def by_hand(row, size):
    """Number of the first of the highest among the first `size`, by looking at one after the other."""
    best = NONE
    for number in range(size):
        if not np.isnan(row[number]) and (best == NONE or row[number] > row[best]):
            best = number
    return best


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
def test_selection_is_that_of_a_loop(missing):
    rewards = drawn(60, missing=missing)
    found = select(rewards, SIZES)
    expected = [[by_hand(row, size) for size in SIZES] for row in rewards]
    np.testing.assert_array_equal(found.chosen, expected)
    for row, chosen, reward in zip(rewards, found.chosen, found.rewards, strict=True):
        np.testing.assert_array_equal(reward, [row[n] if n != NONE else np.nan for n in chosen])


def test_of_equal_rewards_the_first_wins():
    assert select(np.array([[1.0, 1.0, 2.0, 2.0]]), (1, 2, 3, 4)).chosen.tolist() == [[0, 0, 2, 2]]


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_means_never_fall_as_n_grows(missing):
    for seed in range(20):
        means = [estimate.value for estimate in select(drawn(seed=seed, missing=missing), SIZES).mean_rewards()]
        assert means == sorted(means)


def test_the_order_of_prompts_does_not_matter():
    rewards, order = drawn(missing=0.3), np.random.default_rng(1).permutation(6)
    found, permuted = select(rewards, SIZES), select(rewards[order], SIZES)
    np.testing.assert_array_equal(found.chosen[order], permuted.chosen)
    values = [[estimate.value for estimate in each.mean_rewards()] for each in (found, permuted)]
    np.testing.assert_allclose(*values, rtol=1e-14)


def test_a_prompt_without_a_reward_at_the_smallest_n_is_in_no_mean():
    found = select(np.array([[np.nan, 5.0], [1.0, 2.0]]), (1, 2))
    assert found.complete.tolist() == [1]
    assert [(estimate.value, estimate.n) for estimate in found.mean_rewards()] == [(1.0, 1), (2.0, 1)]
    assert found.chosen.tolist() == [[NONE, 1], [0, 1]]


def test_sizes_are_sorted_and_checked():
    assert check_sizes((4, 1, 4)) == (1, 4)
    for sizes in ((), (0, 1), (-1,)):
        with pytest.raises(ValueError, match="expected numbers from 1"):
            check_sizes(sizes)
    with pytest.raises(ValueError, match="n: got 9, but no prompt has more than 8 candidates"):
        select(drawn(), (1, 9))


@pytest.fixture
def found():
    """Two prompts, four candidates; one failed."""
    prompts = [Prompt("x", "calm"), Prompt("y", "loud")]
    rewards = {
        "x_c0": 0.5,
        "x_c1": -1.0,
        "x_c2": 0.75,
        "x_c3": 0.5,
        "y_c0": -2.0,
        "y_c1": None,
        "y_c2": -3.0,
        "y_c3": 1.0,
    }
    candidates = list_candidates(Path("clips"), prompts, 4)
    scored = [
        Scored(each, rewards[each.id], 0.25, ("short", "silent"), None if rewards[each.id] is not None else "broken")
        for each in candidates
    ]
    return BestOfN.of(prompts, scored, (1, 2, 4))


def test_rewards_by_prompt_and_number(found):
    expected = [[0.5, -1.0, 0.75, 0.5], [-2.0, np.nan, -3.0, 1.0]]
    np.testing.assert_array_equal(reward_table(found.scored, 2), expected)
    assert [each.candidate.id for each in found.failed] == ["y_c1"]
    kept = [[each.candidate.id for each in of_size] for of_size in found.kept()]
    assert kept == [["x_c0", "y_c0"], ["x_c0", "y_c0"], ["x_c2", "y_c3"]]
    assert found.left_out == []


def test_the_table_of_what_was_selected(found):
    lines = as_csv(selected_rows(found)).splitlines()
    assert lines[0] == "prompt_id,n,candidate,reward,flags,path"
    assert lines[1:] == [
        "x,1,0,0.5,short;silent,clips/x_c0.wav",
        "x,2,0,0.5,short;silent,clips/x_c0.wav",
        "x,4,2,0.75,short;silent,clips/x_c2.wav",
        "y,1,0,-2.0,short;silent,clips/y_c0.wav",
        "y,2,0,-2.0,short;silent,clips/y_c0.wav",
        "y,4,3,1.0,short;silent,clips/y_c3.wav",
    ]


def test_a_prompt_without_candidates_has_rows_that_say_so(found):
    scored = [each._replace(reward=None) if each.candidate.prompt.id == "y" else each for each in found.scored]
    partly = BestOfN.of(found.prompts, scored, (1, 2))
    rows = [{"prompt_id": "y", "n": n, "error": "no candidate with a reward"} for n in (1, 2)]
    assert list(selected_rows(partly))[2:] == rows
    assert [prompt.id for prompt in partly.left_out] == ["y"]


def test_without_any_reward_there_is_nothing_to_select(found):
    scored = [each._replace(reward=None, error="broken") for each in found.scored]
    with pytest.raises(ValueError, match="none of the first 2 of any prompt has a reward, since: broken"):
        BestOfN.of(found.prompts, scored, (4, 2))


def test_the_curve(found):
    metric = {"value": 1.0, "low": 0.5, "high": 2.0, "n": 2, "interval": "bootstrap"}
    rows = curve_rows(found, {"mpcd": [metric, metric, metric]})
    assert [(row["n"], row["reward"]["value"], row["reward"]["n"]) for row in rows] == [
        (1, -0.75, 2),
        (2, -0.75, 2),
        (4, 0.875, 2),
    ]
    header, first, *_ = as_csv(flat_rows(rows)).splitlines()
    assert header == "n,reward,reward_low,reward_high,reward_n,mpcd,mpcd_low,mpcd_high,mpcd_n"
    assert first.startswith("1,-0.75,-2.0,0.5,2,1.0,0.5,2.0,2")


def test_the_page_ranks_candidates_best_first_and_failures_last(found):
    picture, x, y = page_sections(found, [("Over N", Path("curve.png"))])
    assert (picture.title, picture.picture) == ("Over N", Path("curve.png"))
    assert [(each.title, each.text) for each in (x, y)] == [("Prompt x", "calm"), ("Prompt y", "loud")]
    assert [player.title for player in x.players] == ["+0.750", "+0.500", "+0.500", "-1.000"]
    assert [player.note.split(", std")[0] for player in x.players[:3]] == [
        "candidate 2, best of 4",
        "candidate 0, best of 1, 2",
        "candidate 3",
    ]
    assert x.players[0].note.endswith("std 0.250, short, silent")
    assert y.players[-1].title == "none"
    assert y.players[-1].note == "candidate 1: broken"
    assert y.players[-1].audio is None
