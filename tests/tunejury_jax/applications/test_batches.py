"""Batches that are halved where they do not fit, without losing an item."""

import pytest
import torch

from tunejury_jax.applications.batches import Batches


def holding(most, calls):
    def work(items):
        calls.append(len(items))
        if len(items) > most:
            raise torch.OutOfMemoryError("out of memory")
        return [item * 10 for item in items]

    return work


@pytest.mark.parametrize(
    ("size", "most", "calls"), [(4, 9, [4, 4, 2]), (8, 3, [8, 4, 2, 2, 2, 2, 2]), (1, 1, [1] * 10)]
)
def test_every_item_is_worked_on_once_and_in_order(size, most, calls):
    made, batches = [], Batches(size)
    for batch, results in batches.run(holding(most, tried := []), range(10)):
        assert [item * 10 for item in batch] == results
        made += results
    assert made == list(range(0, 100, 10))
    assert tried == calls
    assert batches.halved == sum(call > most for call in calls)


def test_an_item_that_does_not_fit_alone_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        list(Batches(3).run(holding(0, []), range(3)))


def test_other_errors_are_not_tried_again():
    def work(items):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(Batches(3).run(work, range(3)))


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="batch: got 0, expected at least 1"):
        Batches(0)
