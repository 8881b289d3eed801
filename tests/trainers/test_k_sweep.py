"""The split of the K-sweep against its definition (spec.md section 4), and which battles take part in it."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_store import RELEASE, later_battles, paper_pairs, paper_store

from trainers.k_sweep import KS, added, k_name, k_split, k_universe
from tunejury_jax.store import FeatureStore

IDS = [pair.id for pair in later_battles()]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return paper_store(tmp_path_factory.mktemp("paper") / "store")


def increment(folder: Path, content: Any) -> str:
    (folder / "increment.json").write_text(json.dumps(content))
    return str(folder / "increment.json")


@pytest.mark.parametrize("size", [2, 5, 10, 597, 598, 599, 774])
@pytest.mark.parametrize("seed", [0, 4])
def test_a_split_is_the_first_and_the_next_of_the_shuffled_universe(size: int, seed: int) -> None:
    universe = [f"u{n}" for n in range(size)]
    order, generator = list(universe), random.Random(seed)
    for last in range(size - 1, 0, -1):  # Fisher and Yates, as random.shuffle has it
        other = generator.randrange(last + 1)
        order[last], order[other] = order[other], order[last]
    part = 299 if size >= 598 else size // 2
    assert k_split(universe, seed) == (order[:part], order[part : part + part])
    assert universe == [f"u{n}" for n in range(size)]


@pytest.mark.parametrize("size", [2, 599])
def test_pool_and_test_share_no_battle_and_depend_on_the_seed(size: int) -> None:
    splits = [k_split([f"u{n}" for n in range(size)], seed) for seed in range(8)]
    assert all(len({*pool, *test}) == len(pool) + len(test) for pool, test in splits)
    assert len({(*pool, *test) for pool, test in splits}) > 1


@pytest.mark.parametrize("k", KS)
def test_a_name_says_how_many_battles_are_added(k: int) -> None:
    assert added(k_name(k)) == k


@pytest.mark.parametrize("name", ["full", "A1", "no AIME", "MuQ"])
def test_other_heads_have_no_battles_added(name: str) -> None:
    assert added(name) is None


def test_the_universe_is_the_listed_battles_of_the_store_in_the_order_of_the_file(
    store: FeatureStore, tmp_path: Path
) -> None:
    listed = [IDS[5], "not in the store", IDS[0], IDS[3], IDS[5]]
    assert k_universe(increment(tmp_path, {"new_uuids": listed}), store) == [IDS[5], IDS[0], IDS[3]]


def test_battles_of_a_split_are_no_part_of_it(store: FeatureStore, tmp_path: Path) -> None:
    in_splits = paper_pairs(("MusicArena",))
    assert {pair.split for pair in in_splits} == {"train", "valid", "test"}
    listed = [IDS[4], *(pair.id for pair in in_splits), *IDS[:2]]
    assert k_universe(increment(tmp_path, {"new_uuids": listed}), store) == [IDS[4], *IDS[:2]]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_file_of_battles_of_one_split_has_none_to_add(tmp_path: Path, split: Any) -> None:
    battles = [*later_battles()[:1], *(replace(pair, split=split) for pair in later_battles()[1:])]
    store = paper_store(tmp_path / "store", [*paper_pairs(), *battles], blocks=RELEASE)
    with pytest.raises(ValueError, match="the store has 1 with a winner and features that are in no split; at least 2"):
        k_universe(increment(tmp_path, {"new_uuids": IDS}), store)


def test_battles_without_a_winner_are_no_part_of_it(tmp_path: Path) -> None:
    battles = later_battles()
    battles[1], battles[4] = replace(battles[1], label="tie"), replace(battles[4], label="both_bad")
    store = paper_store(tmp_path / "store", [*paper_pairs(), *battles], blocks=RELEASE)
    assert k_universe(increment(tmp_path, {"new_uuids": IDS}), store) == [IDS[n] for n in (0, 2, 3, 5, 6, 7, 8)]


ARENA_3 = 4 + 3  # AIME's four clips come first
CALM, FAST = 0, 1


@pytest.mark.parametrize(
    ("failed", "left"),
    [
        ({}, range(9)),
        ({"mert": {ARENA_3: "truncated"}}, (0, 1, 4, 5, 8)),
        ({"muq_audio": {ARENA_3: "truncated"}}, (0, 1, 4, 5, 8)),
        ({"clap_text": {FAST: "not a text"}}, (7, 8)),
        ({"clap_text": {CALM: "not a text"}, "mert": {0: "truncated"}}, range(9)),
    ],
)
def test_battles_that_could_not_be_encoded_are_no_part_of_it(tmp_path: Path, failed: Any, left: Any) -> None:
    battles = [replace(pair, prompt="fast" if n < 7 else "") for n, pair in enumerate(later_battles())]
    store = paper_store(tmp_path / "store", [*paper_pairs(), *battles], failed=failed)
    assert k_universe(increment(tmp_path, {"new_uuids": IDS}), store) == [IDS[n] for n in left]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no list of ids `new_uuids`"),
        ({"new_uuids": "later-1"}, "no list of ids `new_uuids`"),
        ({"new_uuids": [1, 2]}, "no list of ids `new_uuids`"),
        ([], "expected a JSON object, got list"),
        ({"new_uuids": ["x", IDS[0]]}, "of the 2 pairs that .* lists, the store has 1 with a winner"),
    ],
)
def test_a_file_of_something_else_is_refused(store: FeatureStore, tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        k_universe(increment(tmp_path, content), store)
