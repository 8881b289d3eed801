"""The tables of a preset's heads against sums made by hand in float64."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paper_store import RELEASE, SOURCES, later_battles, paper_store
from toy_dataset import toy_dataset

from trainers import paper_table
from trainers.config import SweepConfig
from trainers.data import Dataset
from trainers.k_sweep import KS, added
from trainers.paper_table import ORDER, paper_tables
from trainers.preset_results import Measured
from trainers.presets import plan
from tunejury_jax.blocks import Layout
from tunejury_jax.metrics import Accuracy, wilson

PAIRS = {"all": 100, "MusicArena": 20, "AIME": 80}


def accuracy(right: float, pairs: int, undecided: int = 0) -> Accuracy:
    return Accuracy(right / pairs, *wilson(right, pairs), pairs, int(right - undecided / 2), undecided, 0)


def head(name: str, seed: int = 42, *, trial: int = 0, **right: float) -> Measured:
    """A head that is right on so many pairs of Music Arena and of AIME."""
    shares = {"MusicArena": 10.0, "AIME": 40.0} | right
    shares = {"all": sum(shares.values())} | shares
    return Measured(trial, name, seed, 0.5, {source: accuracy(n, PAIRS[source]) for source, n in shares.items()})


def swept(k: int, seed: int, right: float, pairs: int = 100) -> Measured:
    return Measured(0, f"K={k}", seed, 0.5, {"all": accuracy(right, pairs), "MusicArena": accuracy(right, pairs)})


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Ten pairs to train on and ten to validate on, of Music Arena and of AIME in turn."""
    made = toy_dataset(10, 10)
    return of_blocks(replace(made, sources=("MusicArena", "AIME"), source=np.arange(20) % 2), RELEASE)


def of_blocks(dataset: Dataset, blocks: Sequence[str]) -> Dataset:
    """The data set as one of these blocks, of which nothing failed; its arrays are not read here."""
    encoded = dict.fromkeys(blocks, np.ones(len(dataset.ids), bool))
    return replace(dataset, layout=Layout.of(blocks), encoded=encoded)


def by_head(table: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The rows by their label, each by its header."""
    return {row[0]: dict(zip(table["header"], row, strict=True)) for row in table["rows"]}


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\+?[0-9]+\.[0-9]+", cell)]


def test_a_cell_is_mean_and_sample_deviation_over_seeds_in_percent(dataset: Dataset) -> None:
    right = [61.0, 62.0, 67.0]
    heads = [head("full", seed, AIME=n) for seed, n in enumerate(right)]
    (table,) = paper_tables(heads, dataset)
    row = by_head(table)["full"]
    for source, values in {"AIME (80)": np.array(right) / 80, "all (100)": (np.array(right) + 10) / 100}.items():
        assert numbers(row[source]) == pytest.approx([100 * values.mean(), 100 * values.std(ddof=1)], abs=0.005)
    assert row["MusicArena (20)"] == "50.00 ±0.00"
    assert row["seeds"] == "3"


def test_a_cell_of_one_seed_is_the_value_and_its_interval(dataset: Dataset) -> None:
    (table,) = paper_tables([head("full", AIME=61.0)], dataset)
    assert table["header"][:5] == ["head", "seeds", "MusicArena (20)", "AIME (80)", "all (100)"]
    z, p, n = 1.959964, 61 / 80, 80
    centre, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    low, high = (100 * (centre + side) / (1 + z * z / n) for side in (-half, half))
    assert by_head(table)["full"]["AIME (80)"] == f"76.25 ({low:.1f}-{high:.1f})"


def test_a_gain_is_what_the_full_head_of_the_same_seed_has_more(dataset: Dataset) -> None:
    full, less = [12.0, 13.0, 17.0], [11.0, 9.0, 15.0]
    heads = [head("full", seed, MusicArena=n) for seed, n in enumerate(full)]
    heads += [head("no MusicArena", 2 - i, MusicArena=less[2 - i]) for i in range(3)]  # the last seed first
    row = by_head(paper_tables(heads, dataset)[0])["no MusicArena"]
    gains = np.subtract(full, less)
    assert numbers(row["gain"]) == pytest.approx([100 * gains.mean() / 20, 100 * gains.std(ddof=1) / 20], abs=0.005)
    assert numbers(row["gain'"]) == pytest.approx([gains.mean(), gains.std(ddof=1)], abs=0.005)
    assert row["gain"].startswith("+")


def test_a_seed_that_failed_is_no_part_of_a_gain(dataset: Dataset) -> None:
    heads = [head("full", seed, MusicArena=n) for seed, n in ((1, 14.0), (2, 10.0))]
    heads += [head("no MusicArena", seed, MusicArena=n) for seed, n in ((0, 1.0), (1, 16.0))]
    rows = by_head(paper_tables(heads, dataset)[0])
    assert list(rows) == ["full", "no MusicArena"]
    assert (rows["no MusicArena"]["gain"], rows["no MusicArena"]["gain'"]) == ("-10.00", "-2.00")
    assert rows["no MusicArena"]["seeds"] == "2"


@pytest.mark.parametrize("others", [[], [head("full", 7)]], ids=["no full head", "full heads of other seeds"])
def test_there_is_no_gain_without_a_full_head_of_the_seed(dataset: Dataset, others: list[Measured]) -> None:
    row = by_head(paper_tables([*others, head("no AIME", 42)], dataset)[0])["no AIME"]
    assert (row["gain"], row["gain'"]) == ("", "")


GAINS = {
    "full": ("", ""),
    "no AIME": ("+12.50", "+10.00"),
    "no SongEval": ("", "+10.00"),  # no test pair of it has a winner
    "no SongEval and MusicArena": ("", "+10.00"),
    "MusicPrefs without prompts": ("", "+10.00"),
    "MuQ": ("", ""),
    "MuQ, no MusicArena": ("+5.00", "+1.00"),
    "A4: clap_audio + mert": ("", "+10.00"),
}


def test_gains_are_those_of_heads_to_which_something_was_not_given(dataset: Dataset) -> None:
    right = {"full": {"AIME": 50.0}, "MuQ": {"MusicArena": 11.0}}
    names = [label.split(":")[0] for label in reversed(GAINS)]
    heads = [head(name, trial=trial, **right.get(name, {})) for trial, name in enumerate(names)]
    rows = by_head(paper_tables(heads, dataset)[0])
    found = {label.removesuffix(" (A7)"): (row["gain"], row["gain'"]) for label, row in rows.items()}
    assert list(found.items()) == list(GAINS.items())


def test_heads_are_in_the_order_of_the_paper_whichever_ended_first(dataset: Dataset) -> None:
    heads = [head(name, seed) for seed in (1, 0) for name in reversed(ORDER) if name != "A7"]
    assert [row[0].split(":")[0] for row in paper_tables(heads, dataset)[0]["rows"]] == [
        "full (A7)",
        *(name for name in ORDER[1:] if name != "A7"),
    ]


def test_every_head_of_the_paper_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "increment.json").write_text(json.dumps({"new_uuids": [pair.id for pair in later_battles()]}))
    config = SweepConfig(preset="paper", seeds=1, increment=str(tmp_path / "increment.json"))
    names = {found.name for found in plan(config, paper_store(tmp_path / "store"))}
    assert {name for name in names if added(name) is None} == {*ORDER} - {"A7"}


def test_where_nothing_is_left_out_there_are_no_gains(dataset: Dataset) -> None:
    (table,) = paper_tables([head("full"), head("MuQ")], dataset)
    assert table["header"] == ["head", "seeds", "MusicArena (20)", "AIME (80)", "all (100)"]
    assert {len(row) for row in table["rows"]} == {5}
    assert "gain" not in table["note"]


@pytest.mark.parametrize(
    ("name", "note"),
    [("MuQ, no MusicArena", "is compared with MuQ"), ("MusicPrefs without prompts", "measured without them, too")],
)
def test_what_is_particular_about_a_head_is_said_where_it_is(dataset: Dataset, name: str, note: str) -> None:
    assert note in paper_tables([head("full"), head(name)], dataset)[0]["note"]
    assert note not in paper_tables([head("full"), head("A1")], dataset)[0]["note"]


def test_the_full_head_is_a7_only_beside_ablations(dataset: Dataset) -> None:
    assert [row[0] for row in paper_tables([head("full")], dataset)[0]["rows"]] == ["full"]


def test_a_head_that_decides_no_pair_says_so(dataset: Dataset) -> None:
    blind = {name: accuracy(n / 2, n, undecided=n) for name, n in PAIRS.items()}
    heads = [Measured(0, "A3", seed, 0.5, blind) for seed in (0, 1)]
    rows = by_head(paper_tables([*heads, head("full")], dataset)[0])
    assert list(rows) == ["full (A7)", "A3: clap_text, all undecided"]
    assert rows["A3: clap_text, all undecided"]["all (100)"] == "50.00 ±0.00"


def test_without_heads_there_is_no_table(dataset: Dataset) -> None:
    assert paper_tables([], dataset) == []


@pytest.fixture
def published(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A data set that is taken for the published one."""
    monkeypatch.setattr(paper_table, "COUNTS", {"train": 10, "valid": 10, "test": 0})
    monkeypatch.setattr(paper_table, "DECISIVE", 0)
    monkeypatch.setattr(paper_table, "K_COUNTS", {"train": 5, "valid": 5})
    return dataset


def labels(heads: Sequence[Measured], dataset: Dataset) -> list[str]:
    return [row[0] for row in paper_tables(heads, dataset)[0]["rows"]]


def test_published_numbers_stand_below_ours_where_the_data_is_the_published(published: Dataset) -> None:
    heads = [head("A2"), head("A1"), head("full"), head("no AIME")]
    rows = by_head(paper_tables(heads, published)[0])
    assert list(rows) == [
        *("full (A7)", "full, published", "no AIME"),
        *("A1: clap_audio", "A1: clap_audio, published", "A2: mert"),
    ]
    assert list(rows["full, published"].values()) == ["full, published", "1", "80.00", "67.44", "70.86", "", ""]
    assert list(rows["A1: clap_audio, published"].values())[1:] == ["1", "", "", "70.5", "", ""]


@pytest.mark.parametrize(
    ("name", "value"),
    [("COUNTS", {"train": 10, "valid": 10, "test": 1}), ("COUNTS", {"train": 9}), ("DECISIVE", 1)],
    ids=str,
)
def test_published_numbers_are_not_shown_with_other_counts(
    published: Dataset, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    assert "full, published" in labels([head("full")], published)
    monkeypatch.setattr(paper_table, name, value)
    (table,) = paper_tables([head("full")], published)
    assert [row[0] for row in table["rows"]] == ["full"]
    assert "The data does not have the published counts" in table["note"]


def test_published_numbers_are_not_shown_with_other_blocks(published: Dataset) -> None:
    other = of_blocks(published, ("clap_audio", "clap_text", "muq_audio"))
    assert (other.splits.keys(), other.decisive("test")) == (published.splits.keys(), published.decisive("test"))
    assert labels([head("full")], other) == ["full"]


@pytest.mark.parametrize("block", RELEASE)
def test_pairs_that_could_not_be_encoded_do_not_count_as_published(published: Dataset, block: str) -> None:
    assert "full, published" in labels([head("full")], published)
    damaged = replace(published, encoded={**published.encoded, block: np.arange(20) != 3})
    assert labels([head("full")], damaged) == ["full"]


def test_the_k_sweep_is_rising_in_k_with_the_population_deviation(dataset: Dataset) -> None:
    heads = [swept(k, seed, 50.0 + k + seed**2) for seed in (3, 0, 1) for k in (10, 3, 0)]
    (table,) = paper_tables(heads, dataset)
    assert table["header"] == ["K", "seeds", "accuracy"]
    assert [row[:2] for row in table["rows"]] == [["0", "3"], ["3", "3"], ["10", "3"]]
    for (_, _, cell), k in zip(table["rows"], (0, 3, 10), strict=True):
        values = np.array([50.0 + k + seed**2 for seed in (0, 1, 3)])
        assert numbers(cell) == pytest.approx([values.mean(), values.std(ddof=0)], abs=0.05)
    assert "on 100 later battles" in table["note"]


def test_what_the_k_sweep_forgets_is_paired_by_seed(dataset: Dataset) -> None:
    def with_earlier(head: Measured, right: float) -> Measured:
        return head._replace(accuracy=head.accuracy | {"earlier test pairs": accuracy(right, 20)})

    heads = [with_earlier(swept(k, seed, 50.0), 15.0 - k / 3 + seed * k) for k in (0, 3) for seed in (0, 1)]
    (table,) = paper_tables(heads, dataset)
    assert table["header"] == ["K", "seeds", "accuracy", "earlier (20)", "forgotten"]
    # 15 and 15 of 20, then 14 and 17: forgotten are +5 and -10 points.
    assert [row[3:] for row in table["rows"]] == [["75.0 ±0.0", "+0.00 ±0.00"], ["77.5 ±7.5", "-2.50 ±10.61"]]
    assert "forgotten" in table["note"]
    assert paper_tables([heads[0], swept(3, 0, 50.0)], dataset)[0]["header"] == ["K", "seeds", "accuracy"]


def test_one_seed_of_the_k_sweep_has_an_interval_and_no_deviation(dataset: Dataset) -> None:
    low, high = (100 * bound for bound in wilson(60.0, 100))
    assert paper_tables([swept(3, 0, 60.0)], dataset)[0]["rows"] == [["3", "1", f"60.0 ({low:.1f}-{high:.1f})"]]


def test_the_k_sweep_stands_beside_the_published_one_of_as_many_battles(published: Dataset) -> None:
    (table,) = paper_tables([swept(k, 0, 150.0, 299) for k in KS], published)
    means = [row[3].split(" ±")[0] for row in table["rows"]]
    assert means == ["55.6", "54.8", "54.1", "56.1", "55.6", "57.0"]
    assert "published counts" not in table["note"]


@pytest.mark.parametrize(("pairs", "valid"), [(298, 5), (299, 4)])
def test_the_published_k_sweep_is_not_shown_with_other_counts(
    published: Dataset, monkeypatch: pytest.MonkeyPatch, pairs: int, valid: int
) -> None:
    monkeypatch.setattr(paper_table, "K_COUNTS", {"train": 5, "valid": valid})
    (table,) = paper_tables([swept(0, 0, 150.0, pairs)], published)
    assert [len(row) for row in table["rows"]] == [len(table["header"])] == [3]
    assert "The data does not have the published counts" in table["note"]


def test_tables_are_as_a_report_reads_them(published: Dataset) -> None:
    tables = paper_tables([head("full"), head("A1"), swept(0, 0, 5.0), swept(3, 0, 5.0)], published)
    assert [table["title"][:10] for table in tables] == ["Trained on", "Music Aren"]
    for table in json.loads(json.dumps(tables)):
        assert set(table) == {"title", "note", "header", "rows"}
        assert {len(row) for row in table["rows"]} == {len(table["header"])}
        assert all(isinstance(cell, str) for row in table["rows"] for cell in row)


def test_the_published_sources_are_those_of_the_tables() -> None:
    assert set(paper_table.PUBLISHED["full"]) == {*SOURCES, "all"}
