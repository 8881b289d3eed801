"""The estimate of what heads need against what they take, and what is refused."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from trainers import memory
from trainers.executors import Sequential, Stacked, lanes_for
from trainers.memory import available_bytes, capacity, member_bytes, require_memory
from trainers.population import Hyper, init_member
from trainers.recipe import TrainConfig
from trainers.view import View
from tunejury_jax.head_config import HeadConfig

MUQ = HeadConfig(1024, (512, 256, 128, 64))
SHAPES = [HeadConfig(2048), HeadConfig(512), MUQ, HeadConfig(3, (2,)), HeadConfig(9, (5, 1, 7)), HeadConfig(4096, (3,))]


def real_bytes(head: HeadConfig) -> int:
    """Of a member as it is made, by the types of its arrays; nothing is computed."""
    masks = View(*(jnp.ones(2, bool) for _ in View._fields))
    hyper = Hyper.of(TrainConfig(), masks)
    made = jax.eval_shape(lambda: init_member(head.widths, [head.input_dim], hyper))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(made))


@pytest.mark.parametrize("head", SHAPES, ids=str)
def test_a_head_takes_no_more_than_is_reckoned(head: HeadConfig) -> None:
    assert real_bytes(head) <= member_bytes(head, 32)


@pytest.mark.parametrize("head", SHAPES[:3], ids=str)
def test_a_published_head_takes_at_least_a_third_of_what_is_reckoned(head: HeadConfig) -> None:
    assert member_bytes(head, 32) <= 3 * real_bytes(head)


def test_the_reckoning_is_of_parameters_and_of_what_passes_through_the_layers() -> None:
    # 3 -> 2 -> 1: 8 and 3 weights and biases, 4 of BatchNorm; of 512 rows 3 inputs and 4 times 2 hidden units.
    assert member_bytes(HeadConfig(3, (2,)), 32) == 4 * (8 * (8 + 3 + 4) + 512 * (3 + 4 * 2))


def test_a_batch_larger_than_what_is_validated_at_a_time_counts() -> None:
    assert member_bytes(MUQ, 2) == member_bytes(MUQ, 256) < member_bytes(MUQ, 257)


@pytest.fixture
def eleven_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 12 * member_bytes(MUQ, 32) - 1)


def test_as_many_heads_fit_as_there_is_room_for(eleven_fit: None) -> None:
    assert capacity(MUQ, 32) == 11
    require_memory(11, MUQ, 32)


def test_on_an_accelerator_there_is_room_for_lanes_that_fill_up_an_eighth(
    eleven_fit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "for_backend", lambda: Stacked)
    assert capacity(MUQ, 32) == 10  # eleven heads are in twelve lanes
    require_memory(10, MUQ, 32)
    with pytest.raises(ValueError, match="at most 10 fit"):
        require_memory(11, MUQ, 32)


@pytest.mark.parametrize("devices", [1, 3, 8])
@pytest.mark.parametrize("room", [*range(1, 30), 63, 64, 65, 100, 511, 1000])
def test_the_lanes_of_as_many_heads_as_fit_have_room_and_one_head_more_has_not(
    monkeypatch: pytest.MonkeyPatch, room: int, devices: int
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: room * member_bytes(MUQ, 32))
    monkeypatch.setattr(memory, "for_backend", lambda: Stacked)
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    heads = capacity(MUQ, 32)
    assert heads == 0 or lanes_for(heads, heads, devices) <= room
    assert all(lanes_for(more, more, devices) > room for more in range(heads + 1, room + 1))


def test_more_are_refused_with_the_number_that_fits(eleven_fit: None) -> None:
    head = member_bytes(MUQ, 32)
    message = rf"^population: 12 heads of widths 512-256-128-64 need about {12 * head / 1e9:.1f} GB, "
    with pytest.raises(ValueError, match=message + rf"{(12 * head - 1) / 1e9:.1f} GB are free: at most 11 fit$"):
        require_memory(12, MUQ, 32)


@pytest.mark.parametrize("free", [0, 1, -5])
@pytest.mark.parametrize("kind", [Sequential, Stacked])
def test_where_nothing_is_free_nothing_fits(monkeypatch: pytest.MonkeyPatch, free: int, kind: Any) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: free)
    monkeypatch.setattr(memory, "for_backend", lambda: kind)
    assert capacity(MUQ, 32) == 0
    with pytest.raises(ValueError, match="at most 0 fit"):
        require_memory(1, MUQ, 32)


def device(limit: int | None, used: int = 0) -> Any:
    stats = None if limit is None else {"bytes_limit": limit, "bytes_in_use": used, "num_allocs": 3}
    return SimpleNamespace(memory_stats=lambda: stats)


@pytest.mark.parametrize(
    ("devices", "free"),
    [([device(80, 10)], 70), ([device(80, 10), device(80, 10)], 140), ([device(80, 10), device(80, 75)], 10)],
    ids=["one", "two alike", "one of them nearly full"],
)
def test_free_is_what_accelerators_have_left_for_equal_shares(
    monkeypatch: pytest.MonkeyPatch, devices: list[Any], free: int
) -> None:
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    assert available_bytes() == free


def test_free_is_main_memory_where_there_is_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "local_devices", lambda: [device(None)])
    monkeypatch.setattr(memory, "_free_main_memory", lambda: 12345)
    assert available_bytes() == 12345


@pytest.mark.parametrize("devices", [[device(80, 10), device(80, 75)], [device(None)]], ids=["accelerators", "none"])
def test_every_process_is_taken_to_have_as_much_free_as_this_one(
    monkeypatch: pytest.MonkeyPatch, devices: list[Any]
) -> None:
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    monkeypatch.setattr(memory, "_free_main_memory", lambda: 12345)
    alone = available_bytes()
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    assert available_bytes() == 3 * alone == (30 if len(devices) == 2 else 3 * 12345)


@pytest.mark.parametrize("meminfo", ["MemTotal: 9 kB\nMemAvailable:   4 kB\nSwapFree: 3 kB\n", None])
def test_main_memory_is_read_from_the_kernel_or_taken_whole(
    monkeypatch: pytest.MonkeyPatch, meminfo: str | None
) -> None:
    found = SimpleNamespace(exists=lambda: meminfo is not None, read_text=lambda: meminfo)
    monkeypatch.setattr(memory, "Path", lambda place: found)
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": 5, "SC_PAGE_SIZE": 7}.__getitem__)
    assert memory._free_main_memory() == (35 if meminfo is None else 4096)
