"""The epoch benchmark runs from end to end; the loop built as the published one reads its files and learns."""

import io
import json
from pathlib import Path

import pytest
import torch

from benchmarks import measure, upstream_loop
from benchmarks.upstream_epoch import UpstreamEpoch, main
from benchmarks.upstream_loop import LOADER, RESIDENT, UPSTREAM, UpstreamLoop, write_pair


def write_pairs(folder: Path, count: int) -> None:
    """Pairs of which the sides win in turn, and whose CLAP features say so."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        clap, mert, text = (torch.randn(dim, generator=generator) for dim in (512, 1024, 512))
        sign = 1 if number % 2 else -1
        target = 0.5 if number == 0 else float(number % 2)
        write_pair(folder / f"{number}.pt", (clap + sign, mert), (clap - sign, mert), text, target)


def answers(folder: Path, rivals: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> list:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{rival}\n" for rival in rivals)))
    upstream_loop.main(UpstreamLoop(folder, workers=0))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("rival", [UPSTREAM, RESIDENT])
def test_a_loop_learns(
    tmp_path: Path, rival: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_pairs(tmp_path / "train", 64)
    write_pairs(tmp_path / "valid", 5)
    first, *_, last = answers(tmp_path, [rival] * 12, monkeypatch, capsys)
    assert last["valid_accuracy"] == 1
    assert last["train_loss"] < first["train_loss"]


def test_the_loader_alone_reads_every_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_pairs(tmp_path / "train", 33)
    write_pairs(tmp_path / "valid", 2)
    assert answers(tmp_path, [LOADER], monkeypatch, capsys) == [{"batches": 3}]


def test_a_file_holds_its_pair_and_no_more(tmp_path: Path) -> None:
    many = torch.arange(100_000.0)
    write_pair(tmp_path / "pair.pt", (many[:2], many[2:5]), (many[5:7], many[7:10]), many[10:12], 0.5)
    pair = torch.load(tmp_path / "pair.pt", weights_only=True)
    features = {name: values.tolist() for name, values in pair.items() if isinstance(values, torch.Tensor)}
    sides = {"clap_a": [0, 1], "mert_a": [2, 3, 4], "clap_b": [5, 6], "mert_b": [7, 8, 9]}
    assert features == {"text_emb": [10, 11], **sides, "flag": [1]}
    assert (pair["winner"], pair["uuid"]) == ("tie", "pair")
    assert (tmp_path / "pair.pt").stat().st_size < 5_000


@pytest.mark.slow(reason="makes the data of the paper's size and starts a process with torch")
def test_the_benchmark_writes_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    main(UpstreamEpoch(rounds=2, pairs=64, workers=1))
    result = json.loads((tmp_path / "benchmarks" / "results" / "upstream_epoch.json").read_text())
    assert result["epochs"].keys() == {"ours", UPSTREAM, LOADER, RESIDENT}
    assert (result["train_pairs"], result["valid_pairs"], result["rounds"]) == (64, 8, 2)
    assert result["files"]["bytes"] > 72 * 4 * (2 * 1536 + 512)
    ratio, low, high = (result[f"ratio_vs_upstream_epoch{suffix}"] for suffix in ("", "_low", "_high"))
    assert 0 < low <= ratio <= high


@pytest.mark.parametrize("field", [{"rounds": 0}, {"workers": -1}, {"pairs": 31}, {"pairs": 65}, {"pairs": 20_000}])
def test_what_cannot_be_measured_is_refused(field: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"expected|accepted are"):
        UpstreamEpoch(**field)
