"""Several devices and several processes train the same heads as one device does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from sealed_store import toy_store

from trainers.config import HostsConfig, SweepConfig
from trainers.hosts import agree, join, leads
from trainers.recipe import DataConfig, Recipe, TrainConfig

HEADS = """
import sys, json, jax
sys.path[:0] = {paths!r}
jax.config.update("jax_enable_x64", True)
import numpy as np
from toy_dataset import toy_dataset
from trainers.executors import Sequential, Stacked
from trainers.fit import fit
from trainers.recipe import Recipe, TrainConfig

assert jax.device_count() == {devices}
def recipe(n):
    return Recipe(TrainConfig(1e-2, widths=(6,), batch_size=16, max_epochs=1 + n % 4, seed=n))
recipes = {{n: recipe(n) for n in range(11)}}
lanes = []
class Watched(Stacked):
    def run(self):
        found = super().run()
        lanes.append(self.lanes)
        assert len(jax.tree.leaves(self._members)[0].sharding.device_set) == {devices}
        return found
fits = dict(fit(recipes, toy_dataset(dtype=np.float64), executor=Watched))
values = {{n: [f.valid_loss, *f.variables["params"]["linear_0"]["weight"].ravel().tolist()] for n, f in fits.items()}}
print(json.dumps({{"heads": values, "lanes": lanes}}))
"""
ROOT = Path(__file__).parents[2]


def environment(devices: int) -> dict[str, str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}


def heads_on(devices: int) -> dict:
    code = HEADS.format(paths=[str(ROOT), str(ROOT / "tests")], devices=devices)
    done = subprocess.run([sys.executable, "-c", code], env=environment(devices), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow(reason="compiles for several devices in processes of their own")
def test_heads_on_four_devices_are_those_on_one():
    four, one = heads_on(4), heads_on(1)
    assert four["heads"].keys() == one["heads"].keys() == {str(n) for n in range(11)}
    for number, values in one["heads"].items():
        assert_close(np.array(four["heads"][number]), np.array(values), 1e-8)
    assert one["lanes"] == [12, 8, 6, 2]
    assert four["lanes"] == [12, 8, 8, 4]  # shared evenly


@pytest.mark.slow(reason="starts four processes")
def test_two_processes_train_the_sweep_of_one(tmp_path: Path):
    store = tmp_path / "store"
    toy_store(store)
    common = [sys.executable, "-m", "trainers.sweep", "--store", str(store), "--trials=4", "--population=4"]
    common += ["--max-epochs=3", "--halving", "2", "--space.widths", "6-4", "--space.learning-rate", "1e-4", "1e-3"]
    alone = subprocess.run(
        [*common, "--out", str(tmp_path / "one")], env=environment(1), capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hosts = [f"--hosts.coordinator=127.0.0.1:{port}", "--hosts.count=2", "--out", str(tmp_path / "two")]
    both = [
        subprocess.Popen(
            [*common, *hosts, f"--hosts.index={index}"],
            env=environment(2),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        printed = [process.communicate(timeout=240) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], printed
    assert "Leaderboard, best 2 of 2" in printed[0][0]
    assert "Leaderboard" not in printed[1][0]
    found, expected = (trials(tmp_path / name) for name in ("two", "one"))
    assert [row["state"] for row in found] == [row["state"] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row["params"] == other["params"]
        assert_close(np.float64(row["valid_loss"]), other["valid_loss"], 1e-4)


def trials(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]


def test_one_process_leads_itself():
    join(HostsConfig())
    assert leads()
    recipes = {3: Recipe(TrainConfig(widths=(4, 2)), DataConfig(leave_out=("Toy",)))}
    assert agree(recipes) == recipes


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ({"count": 2}, "hosts.count: got 2, accepted is 1, or with HOST:PORT more"),
        ({"coordinator": "auto", "count": 2}, "hosts.count: got 2"),
        ({"coordinator": "a:1", "count": 0}, "hosts.count: got 0"),
        ({"coordinator": "a:1", "count": 2, "index": 2}, "hosts.index: got 2, accepted is 0 to 1"),
        ({"coordinator": "a:1", "count": 2, "index": -1}, "hosts.index: got -1"),
    ],
)
def test_a_group_of_hosts_that_cannot_be_is_refused(hosts, message):
    with pytest.raises(ValueError, match=message):
        HostsConfig(**hosts)


def test_hosts_that_train_together_need_a_store():
    with pytest.raises(ValueError, match="store: got None, accepted is a sealed store, where several hosts"):
        SweepConfig(hosts=HostsConfig("a:1", 2))
