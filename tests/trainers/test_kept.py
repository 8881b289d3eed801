"""Which heads a run keeps, whatever the order they end in and wherever it is killed."""

import contextlib
import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from random_heads import random_checkpoint

from trainers.kept import KeptHeads
from trainers.run_folder import RunFolder
from tunejury_jax.checkpoint import Checkpoint

LOSSES = {0: 0.5, 1: 0.25, 2: 0.75, 3: 0.25, 4: 0.5, 5: 0.125, 6: 1.0}


def head(number: int) -> Checkpoint:
    return random_checkpoint(widths=(2,), seed=number, metrics={"valid_loss": LOSSES[number]})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def on_disk(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.heads.iterdir())


def weights(place: Path) -> bytes:
    return (place / "model.safetensors").read_bytes()


def best_of(folder: RunFolder) -> int | None:
    """Number of the head whose weights are in `best/`."""
    if not folder.best.exists():
        return None
    return next(n for n in LOSSES if Checkpoint.load(folder.best).sha256 == head(n).sha256)


def ranking(numbers: Any) -> list[int]:
    return [number for _, number in sorted((LOSSES[number], number) for number in numbers)]


def random_orders(count: int) -> list[list[int]]:
    generator = random.Random(0)
    return [generator.sample(list(LOSSES), len(LOSSES)) for _ in range(count)]


@pytest.mark.parametrize("keep", [1, 3, 7, 9, None])
@pytest.mark.parametrize("order", random_orders(3), ids=str)
def test_the_best_are_kept_after_every_head_whatever_the_order(
    folder: RunFolder, order: list[int], keep: int | None
) -> None:
    kept = KeptHeads(folder, keep)
    for ended in range(1, len(order) + 1):
        kept.add(order[ended - 1], head(order[ended - 1]))
        expected = ranking(order[:ended])[:keep]
        assert kept.numbers == expected
        assert on_disk(folder) == sorted(map(str, expected))
        assert best_of(folder) == expected[0]
    for number in kept.numbers:
        assert weights(folder.heads / str(number)) == head(number)._weights()


@pytest.mark.parametrize("keep", [2, None])
@pytest.mark.parametrize("order", random_orders(2), ids=str)
def test_a_run_that_is_opened_anew_before_every_head_keeps_the_same(
    folder: RunFolder, order: list[int], keep: int | None
) -> None:
    for ended in range(1, len(order) + 1):
        KeptHeads(folder, keep).add(order[ended - 1], head(order[ended - 1]))
        assert KeptHeads(folder, keep).numbers == ranking(order[:ended])[:keep]
        assert best_of(folder) == ranking(order[:ended])[0]


@pytest.mark.parametrize("order", list(itertools.permutations([1, 3, 5])), ids=str)
def test_only_a_contender_becomes_the_best_of_the_run(folder: RunFolder, order: tuple[int, ...]) -> None:
    for number in order:
        KeptHeads(folder, None).add(number, head(number), contender=number != 5)
    assert best_of(folder) == 1
    assert KeptHeads(folder, None).numbers == [5, 1, 3]


def test_the_earlier_of_two_equal_heads_is_the_best_though_a_kill_came_after_best_was_written(
    folder: RunFolder,
) -> None:
    head(3).save(folder.best)
    kept = KeptHeads(folder, 2)
    kept.add(3, head(3))
    kept.add(1, head(1))
    assert best_of(folder) == 1


def test_a_run_without_contenders_has_no_best_head(folder: RunFolder) -> None:
    KeptHeads(folder, None).add(0, head(0), contender=False)
    assert best_of(folder) is None
    assert on_disk(folder) == ["0"]


def test_fewer_are_kept_from_when_fewer_are_asked_for(folder: RunFolder) -> None:
    for number in LOSSES:
        KeptHeads(folder, None).add(number, head(number))
    assert KeptHeads(folder, 2).numbers == [5, 1]
    assert on_disk(folder) == ["1", "5"]


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("tool", ["replace", "rmtree"])
@pytest.mark.parametrize("call", range(8))
@pytest.mark.parametrize("again", [False, True], ids=["new head", "head that was there"])
def test_a_kill_at_any_move_or_removal_changes_nothing_once_the_head_is_trained_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tool: str, call: int, again: bool
) -> None:
    """The third head drives out the second, and is the new best; or is saved once more over itself."""
    for number in (0, 4, *[1] * again):
        KeptHeads(folder, 2).add(number, head(number))
    module: Any = os if tool == "replace" else shutil
    whole, calls = getattr(module, tool), itertools.count()

    def or_die(place: Path, *arguments: Any, **options: Any) -> None:
        if next(calls) == call:
            if tool == "rmtree" and place.exists():
                (place / "config.json").unlink()  # half of it is gone
            raise Killed
        whole(place, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, tool, or_die)
        with contextlib.suppress(Killed):
            KeptHeads(folder, 2).add(1, head(1))
    folder.claim({"asked": {}, "store": {}})  # as every run begins; it recovers `best/`
    KeptHeads(folder, 2).add(1, head(1))
    assert KeptHeads(folder, 2).numbers == [1, 0]
    assert on_disk(folder) == ["0", "1"]
    assert best_of(folder) == 1


def test_a_head_that_was_moved_away_by_a_killed_save_is_put_back(folder: RunFolder) -> None:
    KeptHeads(folder, 2).add(0, head(0))
    os.replace(folder.heads / "0", folder.heads / ".0.old")
    (folder.heads / ".0.partial").mkdir()
    assert KeptHeads(folder, 2).numbers == [0]
    assert on_disk(folder) == ["0"]
    assert weights(folder.heads / "0") == head(0)._weights()
