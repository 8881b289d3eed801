"""Which kept heads are chosen, and what is said where the run did not keep them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from random_ensembles import SHARED
from random_heads import TOY_BLOCKS, random_checkpoint

from trainers.config import ExportConfig
from trainers.run_folder import RunFolder
from trainers.selection import Candidates, select
from tunejury_jax.blocks import Block

KEEP = "--keep of the sweep decides how many are kept"


def trial(number: int, loss: float | None, head: str | None = None) -> dict[str, Any]:
    params = {"widths": "6-4"} if head is None else {"head": head, "seed": number}
    state = "failed" if loss is None else "complete"
    return {"trial": number, "state": state, "params": params, "valid_loss": loss, "error": None}


def make_run(
    path: Path, losses: dict[int, float | None], kept: dict[int, dict[str, Any]], heads: dict[int, str] | None = None
) -> RunFolder:
    """A run of these trials, of which some were kept; `kept` says what is special about the head of a trial."""
    folder = RunFolder(path)
    for number, facts in kept.items():
        metrics = {"valid_loss": losses[number], "valid_score_mean": float(number)}
        given = {"training": SHARED, "metrics": metrics, **facts}
        random_checkpoint(seed=number, **given).save(folder.heads / str(number))
    rows = [trial(number, loss, (heads or {}).get(number)) for number, loss in losses.items()]
    folder.trials.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    losses = {0: 0.6, 1: None, 2: 0.4, 3: 0.5, 4: 0.3, 5: 0.9, 6: 0.2}
    return make_run(tmp_path, losses, {0: {}, 2: {}, 3: {}, 4: {}})


def test_the_best_of_the_kept_heads_best_first(run: RunFolder) -> None:
    chosen = Candidates(run).top(3)
    assert [(head.trial, head.valid_loss) for head in chosen.heads] == [(4, 0.3), (2, 0.4), (3, 0.5)]
    assert [head.checkpoint.sha256 for head in chosen.heads] == [
        random_checkpoint(seed=number).sha256 for number in (4, 2, 3)
    ]
    lines = ["trial 4: validation loss 0.3000", "trial 2: validation loss 0.4000", "trial 3: validation loss 0.5000"]
    assert list(chosen.lines()) == lines


def test_more_than_were_kept_are_refused(run: RunFolder) -> None:
    message = f"top: got 5, the run kept 4 heads of the widths, blocks and data of its best one, and 0 others; {KEEP}"
    with pytest.raises(ValueError, match=message):
        Candidates(run).top(5)


OTHER_KINDS = {
    "widths": {"widths": (5, 4)},
    "blocks": {"blocks": (TOY_BLOCKS[0], Block("verse", 4, "prompt"))},
    "data": {"training": {**SHARED, "data": {"leave_out": ["Beta"]}}},
}


@pytest.mark.parametrize("facts", OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_heads_of_another_kind_than_the_best_are_passed_over_and_counted(tmp_path: Path, facts: dict[str, Any]) -> None:
    losses: dict[int, float | None] = {0: 0.6, 1: 0.5, 2: 0.4, 3: 0.3, 4: 0.7}
    run = make_run(tmp_path, losses, {0: {}, 1: facts, 2: facts, 3: {}, 4: facts})
    chosen = Candidates(run).top(2)
    assert [head.trial for head in chosen.heads] == [3, 0]
    said = "2 better heads of other widths, blocks or data than the best one's passed over"
    assert list(chosen.lines())[2:] == [said]
    assert Candidates(run).top(1).left_out == ""
    with pytest.raises(ValueError, match=r"top: got 3, the run kept 2 heads of .*, and 3 others; --keep"):
        Candidates(run).top(3)


def test_trials_are_taken_in_the_order_given(run: RunFolder) -> None:
    chosen = Candidates(run).trials((3, 4))
    assert [head.trial for head in chosen.heads] == [3, 4]
    assert chosen.left_out == ""


def test_trials_that_were_not_kept_are_named(run: RunFolder) -> None:
    with pytest.raises(ValueError, match=f"trials: 6, 1, 99 not kept, the run kept 0, 2, 3, 4; {KEEP}"):
        Candidates(run).trials((0, 6, 1, 99))


def test_a_run_that_kept_nothing_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, {0: 0.5}, {})
    with pytest.raises(ValueError, match="trials: 0 not kept, the run kept none; --keep"):
        Candidates(run).trials((0,))
    with pytest.raises(ValueError, match="top: got 1, the run kept 0 heads of"):
        Candidates(run).top(1)


@pytest.fixture
def preset(tmp_path: Path) -> RunFolder:
    losses = {0: 0.6, 1: 0.1, 2: None, 3: 0.5, 4: 0.2, 5: None}
    heads = {0: "all", 1: "no prompt", 2: "all", 3: "all", 4: "no prompt", 5: "bad"}
    return make_run(tmp_path, losses, {0: {}, 1: {}, 3: {}}, heads)


def test_all_seeds_of_a_head_and_how_many_failed(preset: RunFolder) -> None:
    chosen = Candidates(preset).seeds("all")
    assert [head.trial for head in chosen.heads] == [3, 0]
    assert list(chosen.lines())[2:] == ["1 of 3 seeds failed"]


def test_seeds_that_were_not_kept_are_named(preset: RunFolder) -> None:
    with pytest.raises(ValueError, match="trials: 4 not kept, the run kept 0, 1, 3; --keep"):
        Candidates(preset).seeds("no prompt")


def test_a_head_of_which_every_seed_failed_is_refused(preset: RunFolder) -> None:
    with pytest.raises(ValueError, match="head: all 1 seeds of 'bad' failed"):
        Candidates(preset).seeds("bad")


def test_a_head_that_the_preset_lacks_is_refused(preset: RunFolder) -> None:
    with pytest.raises(ValueError, match=r"head: got 'al', accepted are 'all', 'bad', 'no prompt' \(did you mean"):
        Candidates(preset).seeds("al")


def test_a_search_has_no_named_heads(run: RunFolder) -> None:
    with pytest.raises(ValueError, match=r"head: got 'all', but .* is not the run of a preset"):
        Candidates(run).seeds("all")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run: .* has no trials\.jsonl; expected the folder of a run"):
        Candidates(RunFolder(tmp_path))


def test_the_options_choose(preset: RunFolder, tmp_path: Path) -> None:
    asked = ExportConfig(str(preset.path), str(tmp_path / "out"))
    found = [
        select(dataclasses.replace(asked, **option), preset)
        for option in ({"top": 1}, {"trials": (0, 1)}, {"head": "all"}, {})
    ]
    assert [chosen and [head.trial for head in chosen.heads] for chosen in found] == [[1], [0, 1], [3, 0], None]
