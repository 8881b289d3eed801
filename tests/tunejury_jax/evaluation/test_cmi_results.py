"""Metrics of saved predictions against plain loops and scipy, and every row accounted for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from drawn_results import bench_rows, predicted

from tunejury_jax.evaluation import cmi_results, estimates
from tunejury_jax.evaluation.cmi_report import report
from tunejury_jax.evaluation.cmi_results import read_results
from tunejury_jax.evaluation.cmi_tasks import dataset_of, modality_of, month_of, preferred, side_of

MUSICALITY = "predicted_musicality"


@pytest.fixture(autouse=True)
def few_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "REDRAWS", 20)


def results(each: int = 40) -> list[dict[str, Any]]:
    return [predicted(row) for row in bench_rows(each)]


def written(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reported(tmp_path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return json.loads(json.dumps(report(read_results(written(tmp_path, rows)))))


def battles(*labels: tuple[Any, Any]) -> list[dict[str, Any]]:
    """Music Arena rows of (preference, prediction)."""
    rows = [row for row in bench_rows(len(labels)) if row["source"] == "Music Arena"]
    return [row | {"preference": p, "predicted_preference": q} for row, (p, q) in zip(rows, labels, strict=True)]


def test_ratings_against_scipy(tmp_path: Path) -> None:
    rows = results()
    summary = reported(tmp_path, rows)["summary"]
    oracle = {"srcc": scipy.stats.spearmanr, "lcc": scipy.stats.pearsonr, "ktau": scipy.stats.kendalltau}
    cases = [("PAM", "musicality", "musicality"), ("PAM", "alignment", "text-music alignment")]
    for dataset, axis, field in [*cases, ("MusicEval", "musicality", "musicality")]:
        own = [row for row in rows if row["benchmark_dataset"] == dataset]
        labels, scores = ([row[prefix + field] for row in own] for prefix in ("", "predicted_"))
        for metric, function in oracle.items():
            found = summary[dataset][axis][metric]
            assert found["value"] == pytest.approx(function(labels, scores).statistic, rel=1e-12)
            assert found["low"] < found["value"] < found["high"]
            assert found["n"] == 40
    assert set(summary["MusicEval"]) == {"musicality"}


def test_preferences_against_a_loop(tmp_path: Path) -> None:
    rows = results()
    document = reported(tmp_path, rows)
    own = [row for row in rows if row["benchmark_dataset"] == "CMI-Pref"]
    for axis in ("musicality", "alignment"):
        right = [row[f"preference-{axis}"] == row[f"predicted_preference-{axis}"] for row in own]
        found = document["summary"]["CMI-Pref"][axis]["accuracy"]
        interval = scipy.stats.binomtest(sum(right), 40).proportion_ci(method="wilson")
        assert (found["value"], found["n"], found["interval"]) == (np.mean(right), 40, "wilson")
        assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
        sure = [ok for ok, row in zip(right, own, strict=True) if float(row[f"confidence_preference-{axis}"]) > 3]
        found = document["groups"]["CMI-Pref"]["confidence"][">3"][axis]["accuracy"]
        assert (found["value"], found["n"]) == (np.mean(sure), len(sure))


def test_groups_part_the_rows(tmp_path: Path) -> None:
    groups = reported(tmp_path, results())["groups"]
    assert set(groups["Music Arena"]["month"]) == {"07-2025JUL", "08-2025AUG"}
    keys = {"modality", "ref_subset", "modality_type", "confidence", "confidence, ref", "confidence, no_ref"}
    assert set(groups["CMI-Pref"]) == keys
    assert set(groups["CMI-Pref"]["modality"]) == {"text", "text+lyrics", "text+ref", "text+lyrics+ref"}
    assert set(groups["CMI-Pref"]["confidence"]) == {"<3", "=3", ">3"}
    for key in ("modality", "ref_subset", "modality_type", "confidence"):
        assert sum(group["alignment"]["accuracy"]["n"] for group in groups["CMI-Pref"][key].values()) == 40


def test_both_and_neither_on_either_side_count_half(tmp_path: Path) -> None:
    labels = [("A", "model_a"), ("both", "a"), ("B", "neither"), ("both", "neither"), ("A", "B"), ("MODEL_B ", "b")]
    found = reported(tmp_path, battles(*labels))["summary"]["Music Arena"]["musicality"]["accuracy"]
    assert (found["value"], found["n"], found["interval"]) == ((1 + 0.5 + 0.5 + 1 + 0 + 1) / 6, 6, "bootstrap")


def test_unknown_and_missing_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    labels = [("A", "a"), ("TIE", "a"), (None, "a"), ("A", "C"), ("A", None), ("A", "b")]
    document = reported(tmp_path, battles(*labels))
    assert document["summary"]["Music Arena"]["musicality"]["accuracy"]["n"] == 2
    assert document["counts"] == {
        "rows": 6,
        "Music Arena musicality: unknown label (left out)": 1,
        "Music Arena musicality: no label (left out)": 1,
        "Music Arena musicality: unknown prediction (left out)": 1,
        "Music Arena musicality: no prediction (left out)": 1,
    }


def test_predictions_follow_from_scores_where_they_are_not_saved_and_ties_are_b(tmp_path: Path) -> None:
    rows = battles(("B", None), ("B", None), ("A", None), ("A", "model_a"))
    for row, (a, b) in zip(rows, [(1, 1), (0, 1), (2, 1), (0, 5)], strict=True):
        row |= {MUSICALITY: a, f"{MUSICALITY}_b": b}
    document = reported(tmp_path, rows)
    assert document["summary"]["Music Arena"]["musicality"]["accuracy"]["value"] == 1
    assert document["counts"]["Music Arena musicality: predictions derived from scores"] == 3
    assert document["counts"]["Music Arena musicality: predictions that contradict their scores (used)"] == 1


def test_an_unknown_prediction_is_not_replaced_by_its_scores(tmp_path: Path) -> None:
    rows = battles(("A", "C"), ("A", "a"))
    for row in rows:
        row |= {MUSICALITY: 2, f"{MUSICALITY}_b": 1}
    document = reported(tmp_path, rows)
    assert document["summary"]["Music Arena"]["musicality"]["accuracy"]["n"] == 1
    assert document["counts"]["Music Arena musicality: unknown prediction (left out)"] == 1


def test_invalid_and_repeated_rows_and_other_splits_are_counted(tmp_path: Path) -> None:
    rows = results(10)
    rows[0]["inference_valid_a"] = False
    rows[1] |= {"inference_valid_a": False, MUSICALITY: None}
    rows += [rows[2], rows[3] | {"split": "train"}, {"source": "another", "split": "test"}]
    document = reported(tmp_path, rows)
    assert document["summary"]["PAM"]["musicality"]["srcc"]["n"] == 10
    assert document["summary"]["PAM"]["alignment"]["srcc"]["n"] == 11
    assert document["counts"] == {
        "rows": 43,
        "PAM: rows whose inference was not valid (used if they have predictions)": 2,
        "PAM musicality: no prediction (left out)": 1,
        "PAM: repeated rows (used)": 1,
        "PAM: rows of another split": 1,
        "rows of unknown source 'another'": 1,
    }


def test_numbers_may_be_text_and_words_are_unknown(tmp_path: Path) -> None:
    rows = results(6)
    rows[0]["musicality"] = "4.5"
    rows[1]["musicality"] = "good"
    rows[2]["musicality"] = float("nan")
    document = reported(tmp_path, rows)
    assert document["summary"]["PAM"]["musicality"]["srcc"]["n"] == 4
    assert document["counts"]["PAM musicality: unknown label (left out)"] == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_changes_no_value(tmp_path: Path, seed: int) -> None:
    rows = results()
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    first, second = reported(tmp_path, rows), reported(tmp_path, shuffled)
    assert _values(first) == pytest.approx(_values(second), rel=1e-12)
    assert first["counts"] == second["counts"]


def test_swapped_sides_give_the_same_accuracies(tmp_path: Path) -> None:
    other = {"model_a": "model_b", "model_b": "model_a", "A": "B", "B": "A"}
    rows = results()
    swapped = [
        {
            name: other.get(value, value) if "preference" in name and isinstance(value, str) else value
            for name, value in row.items()
            if not name.startswith("predicted_musicality") or "audio2" not in row
        }
        for row in rows
    ]
    for row in swapped:
        if "audio2" in row:
            del row["predicted_text-music alignment"]
    assert _values(reported(tmp_path, swapped)) == pytest.approx(_values(reported(tmp_path, rows)))


def test_constant_scores_have_no_correlation(tmp_path: Path) -> None:
    rows = [row | ({MUSICALITY: 1.0} if row["benchmark_dataset"] == "PAM" else {}) for row in results(5)]
    found = reported(tmp_path, rows)["summary"]["PAM"]["musicality"]["srcc"]
    assert found == {"value": None, "low": None, "high": None, "n": 5, "interval": None}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"source": "RewardBench", "chosen": "x"}], "not results of CMI-RewardBench: source: got 'RewardBench'"),
        ([], "not results of CMI-RewardBench: source: got no rows"),
        (bench_rows(3), "no row has both a label and a prediction; predictions are expected in .*predicted_musicality"),
        ([predicted(bench_rows(1)[0]) | {MUSICALITY: float("inf")}], "line 1: predicted_musicality: expected a finite"),
        ([[1, 2]], "line 1: expected a JSON object, got list"),
    ],
)
def test_refuses_what_are_no_results(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_results(written(tmp_path, rows))


def test_refuses_broken_long_and_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, results(2))
    monkeypatch.setattr(cmi_results, "MAX_ROWS", 3)
    with pytest.raises(ValueError, match="more than 3 lines"):
        read_results(path)
    monkeypatch.setattr(cmi_results, "MAX_LINE_BYTES", 40)
    with pytest.raises(ValueError, match="line 1: longer than 40 bytes"):
        read_results(path)
    path.write_text('{"source": "PAM (music)"')
    with pytest.raises(ValueError, match="line 1: not JSON"):
        read_results(path)


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, results(3))
    path.write_text("\n" + path.read_text().replace("\n", "\r\n\n"))
    assert read_results(path).counts == {"rows": 12}


@pytest.mark.parametrize(
    ("row", "dataset"),
    [
        ({"source": "PAM (music)"}, "PAM"),
        ({"source": "SongEval"}, "MusicEval"),
        ({"source": "Music Arena (July)"}, "Music Arena"),
        ({"source": "cmi-arena-annotation"}, "CMI-Pref"),
        ({"source": None, "audio2": "/root/MusicArena_data/audio_files/07-2025JUL/x-b.mp3"}, "Music Arena"),
        ({"benchmark_dataset": "MusicArena"}, "Music Arena"),
        ({"source": "musiceval", "benchmark_dataset": "?"}, None),
        ({}, None),
    ],
)
def test_the_data_set_of_a_row(row: dict[str, Any], dataset: str | None) -> None:
    assert dataset_of(row) == dataset


def test_months_modalities_and_sides() -> None:
    assert month_of({"audio-path": "MusicArena_data/audio_files/09-2025SEP/prebaked/x-a.mp3"}) == "09-2025SEP"
    assert month_of({"audio-path": "cmi-pref/x.mp3"}) is None
    assert modality_of({"lyrics": None, "ref-audio-path": " "}) == "text"
    assert modality_of({"lyrics": "la", "ref-audio-path": "x"}) == "text+lyrics+ref"
    assert modality_of({"lyrics": "la", "modality": "text"}) == "text"
    assert [side_of(label) for label in ("A", " model_b", "Neither", "both", "TIE", None, 1)] == [
        *("a", "b", "both", "both"),
        *(None, None, None),
    ]
    assert [preferred(*scores) for scores in ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0))] == ["model_a", "model_b", "model_b"]


def _values(document: Any) -> list[float]:
    """Every value of a document, in the order of its keys."""
    if "value" in document:
        return [document["value"]]
    return [v for name in sorted(document) if name != "counts" for v in _values(document[name])]
