"""The export commands, run as their options describe them: what they print, return and refuse."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tyro
from audio_factory import BAD, clip_pairs, write_bad, write_clips
from store_factory import snapshot

from feature_export.__main__ import Command, main
from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from feature_export.export import plan
from tunejury_jax.pairs import SPLITS, Pair, write_pairs
from tunejury_jax.splits import assign_by_clip
from tunejury_jax.store import FeatureStore, StoreError

ROOT = Path(__file__).parents[2]


def run(*arguments: Any) -> int:
    """Runs a command line in this process; returns its exit status."""
    return main(tyro.cli(Command, args=[str(argument) for argument in arguments]))  # type: ignore[arg-type]


class Data(NamedTuple):
    """Audio and the pairs file over it."""

    audio: Path
    pairs: Path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    root = tmp_path_factory.mktemp("data")
    names = write_clips(root / "audio", 12, seconds=0.05) + write_bad(root / "audio")
    clip_pairs(names, root / "pairs.jsonl")
    return Data(root / "audio", root / "pairs.jsonl")


def export(data: Data, out: Path, *more: Any) -> int:
    return run("export", "--pairs", data.pairs, "--out", out, "--audio-root", data.audio, "--block-rows", 4, *more)


@pytest.fixture(scope="module")
def exported(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "store"
    assert export(data, out) == 0
    return out


def test_export_ends_in_a_sealed_store_and_says_so(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(data, tmp_path / "store") == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'store'}\n"
    assert "No splits given: clips are split 80/10/10, none heard in two splits\n" in err
    assert f"Planned {tmp_path / 'store'}: {{'clip': 23, 'prompt': 3, 'pair': 23}}, splits " in err
    assert ", blocks of 4 rows\n" in err
    assert "Encoded 26 rows, 11 of them failed\n" in err
    assert f"See python -m feature_export inspect --store {tmp_path / 'store'}\n" in err
    assert "Sealed signal: 23 rows, 11 failed\n" in err
    assert "Sealed mel_baseline: 23 rows, 11 failed\n" in err
    assert "Sealed ngram_baseline: 3 rows, 0 failed\n" in err
    assert FeatureStore.open_sealed(str(tmp_path / "store")).verify()


def test_exporting_again_changes_nothing(data: Data, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(exported)
    assert export(data, exported) == 0
    assert snapshot(exported) == before
    assert "Encoded 0 rows, 0 of them failed" in capsys.readouterr().err


def test_export_is_plan_then_encode_then_seal(data: Data, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    assert run("plan", "--pairs", data.pairs, "--out", out, "--block-rows", 4) == 0
    assert FeatureStore.open(str(out)).pending("signal") == [0, 1, 2, 3, 4, 5]
    assert run("encode", "--store", out, "--audio-root", data.audio) == 0
    assert not FeatureStore.open(str(out)).sealed
    assert run("seal", "--store", out) == 0
    assert snapshot(out) == snapshot(exported)


def test_two_processes_make_the_store_of_one(data: Data, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    run("plan", "--pairs", data.pairs, "--out", out, "--block-rows", 4)
    command = [sys.executable, "-m", "feature_export", "encode", "--store", str(out), "--audio-root", str(data.audio)]
    workers = [
        subprocess.Popen([*command, "--shard", shard], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for shard in ("0/2", "1/2")
    ]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    rows = [int(re.search(r"Encoded (\d+) rows", error)[1]) for error in errors]  # type: ignore[index]
    assert sum(rows) == 26
    assert all(rows)
    assert run("seal", "--store", out) == 0
    assert snapshot(out) == snapshot(exported)


def test_a_store_that_is_not_encoded_is_not_sealed(data: Data, tmp_path: Path) -> None:
    run("plan", "--pairs", data.pairs, "--out", tmp_path / "store", "--block-rows", 4)
    run("encode", "--store", tmp_path / "store", "--audio-root", data.audio, "--shard", "1/2")
    with pytest.raises(StoreError, match="mel_baseline: 3 of 6 blocks are not committed"):
        run("seal", "--store", tmp_path / "store")


def test_a_wrong_audio_root_is_no_success(data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rows, failed in ((26, 23), (0, 0)):  # nor is it when the same command goes on
        assert export(data._replace(audio=tmp_path), tmp_path / "store") == 1
        err = capsys.readouterr().err
        assert f"Encoded {rows} rows, {failed} of them failed\n" in err
        assert "No clip could be encoded: mend the cause, delete the store and export again\n" in err
        assert not FeatureStore.open(str(tmp_path / "store")).sealed


def test_bad_files_that_are_left_to_the_end_are_no_wrong_audio_root(data: Data, exported: Path, tmp_path: Path) -> None:
    store = shutil.copytree(exported, tmp_path / "store")
    (store / "SEALED.json").unlink()
    for encoder in ("signal", "mel_baseline"):
        (store / f"commits/{encoder}/00000005.json").unlink()  # rows 20 to 22, all of them bad
    assert export(data, store) == 0
    assert snapshot(store) == snapshot(exported)


def test_a_shard_of_failures_is_no_success_though_others_may_be(data: Data, tmp_path: Path) -> None:
    names = ["bad/a.wav", "bad/b.wav", "x.wav", "y.wav"]
    pairs, audio = tmp_path / "pairs.jsonl", tmp_path / "audio"
    clip_pairs(names, pairs, prompts=0)
    write_clips(audio, 1)
    for name in names[2:]:
        shutil.copy(audio / "000.wav", audio / name)
    run("plan", "--pairs", pairs, "--out", tmp_path / "store", "--block-rows", 2)
    encode = ("encode", "--store", tmp_path / "store", "--audio-root", audio, "--shard")
    assert [run(*encode, shard) for shard in ("1/2", "0/2")] == [0, 1]
    assert run("seal", "--store", tmp_path / "store") == 0


@pytest.mark.parametrize("shard", ["2/2", "0/0", "-1/2", "1", "a/b", "1/", "/2", "0/2/3", "", "²/3"])
def test_a_shard_that_is_none(data: Data, exported: Path, shard: str) -> None:
    message = f"shard: got {shard!r}, expected i/n with 0 <= i < n, for example 0/4"
    with pytest.raises(ValueError, match=re.escape(message)):
        run("encode", "--store", exported, "--audio-root", data.audio, f"--shard={shard}")


def test_a_store_of_another_version_is_not_encoded(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = load_stack(["mel"], SignalPath())
    provenance: Any = {name: dict(fields) for name, fields in stack.provenance().items()}
    provenance["mel_baseline"]["revision"] = "0"
    with monkeypatch.context() as patch:
        patch.setattr(type(stack), "provenance", lambda stack: provenance)
        plan(clip_pairs(["000.wav"]), stack, str(tmp_path), 4)
    with pytest.raises(
        ValueError, match=r"would make other features: mel_baseline.revision: recorded '0', this version"
    ):
        run("encode", "--store", tmp_path, "--audio-root", data.audio)


def test_the_switches_of_a_store_are_taken_from_it(data: Data, tmp_path: Path) -> None:
    path = SignalPath(train16k=True)
    store = plan(clip_pairs(["000.wav", "001.wav"]), load_stack(["mel"], path), str(tmp_path), 4)
    assert run("encode", "--store", tmp_path, "--audio-root", data.audio) == 0
    assert store.pending("mel_baseline") == []


def test_verify_of_what_was_exported(data: Data, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--store", exported) == 0
    assert run("verify", "--store", exported, "--audio-root", data.audio) == 0
    assert capsys.readouterr().out == f"{exported}: every byte as sealed\n" * 2


def test_verify_names_changed_audio(
    data: Data, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = shutil.copytree(data.audio, tmp_path / "audio")
    (audio / "003.wav").write_bytes(b"")
    assert run("verify", "--store", exported, "--audio-root", audio) == 1
    assert "changed since it was encoded: Noise/003.wav\n" in capsys.readouterr().out


def test_verify_refuses_a_damaged_store(exported: Path, tmp_path: Path) -> None:
    store = shutil.copytree(exported, tmp_path / "store")
    chunk = store / "features/mel_baseline/c.1.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(StoreError, match="features/mel_baseline/: cannot be read: "):
        run("verify", "--store", store)


def splits_of(out: Path) -> dict[str, str]:
    store = FeatureStore.open(str(out))
    ids = [record["pair_id"] for record in store.pair_records()]
    return {pair_id: SPLITS[code] for pair_id, code in zip(ids, store.pair_arrays().split, strict=True)}


def planned(out: Path, pairs: list[Pair], *splits: Any) -> dict[str, str]:
    """Plans a store for some pairs and split files; returns the split of each pair."""
    out.mkdir()
    write_pairs(out / "pairs.jsonl", pairs)
    files = [out / f"split{number}.json" for number in range(len(splits))]
    for file, content in zip(files, splits, strict=True):
        file.write_text(json.dumps(content))
    more = ["--splits", *files] if files else []
    assert run("plan", "--pairs", out / "pairs.jsonl", "--out", out / "store", *more) == 0
    return splits_of(out / "store")


PAIRS = clip_pairs([f"{number}.wav" for number in range(60)])
APART = [replace(pair, audio_a=f"a{pair.audio_a}", audio_b=f"b{pair.audio_a}") for pair in PAIRS]


def test_splits_come_from_the_clips_where_nothing_is_said(tmp_path: Path) -> None:
    expected = {pair.id: pair.split for pair in assign_by_clip(APART)}
    assert planned(tmp_path / "x", APART) == expected
    assert set(expected.values()) == {"train", "valid", "test"}


def test_splits_come_from_the_records_where_any_says_one(tmp_path: Path) -> None:
    pairs = [replace(PAIRS[0], split="valid"), replace(PAIRS[1], split="none"), PAIRS[2]]
    assert planned(tmp_path / "x", pairs) == {"p000": "valid", "p001": "none", "p002": "none"}


def test_splits_come_from_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(tmp_path / "x", PAIRS[:4], {"train": ["p000"]}, {"test": ["p001"], "valid": ["p002", "q"]})
    assert found == {"p000": "train", "p001": "test", "p002": "valid", "p003": "none"}
    assert Counter(found.values()) == {"train": 1, "test": 1, "valid": 1, "none": 1}
    assert "splits {'train': 1, 'test': 1, 'valid': 1, 'none': 1}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            [{"train": ["p000"]}, {"test": ["p001", "p000"]}],
            r"split1\.json: pairs \['p000'\] are in another split file too",
        ),
        ([{"train": ["p000"], "test": ["p000"]}], r"split0\.json: pair 'p000' is in split 'train' and again in 'test'"),
        (
            [{"train": [], "valid": [], "test": []}],
            r"split0\.json: lists no pair ids, expected some in train, valid, test",
        ),
        ([{"train": ["p001"]}], "split: pair 'p000' is in 'valid' by its record and in 'none' by the list"),
    ],
)
def test_split_files_that_do_not_fit(tmp_path: Path, splits: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planned(tmp_path / "x", [replace(PAIRS[0], split="valid"), *PAIRS[1:3]], *splits)
    assert not (tmp_path / "x/store").exists()


def test_another_plan_is_refused(data: Data, exported: Path) -> None:
    before = snapshot(exported)
    with pytest.raises(StoreError, match="holds a store with another plan; asked for block_rows: 5, not 4"):
        run("plan", "--pairs", data.pairs, "--out", exported, "--block-rows", 5)
    assert snapshot(exported) == before


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--encoders", "nothing", "encoders: got 'nothing', accepted are "),
        ("--block-rows", 0, "block_rows: got 0, expected at least 1"),
        ("--out", "http://127.0.0.1:1/store", "store: got 'http://127.0.0.1:1/store', accepted are a local path or"),
        ("--audio-root", "/nowhere", "audio_root: '/nowhere' is not a folder"),
    ],
)
def test_options_that_are_none(data: Data, tmp_path: Path, option: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        export(data, tmp_path / "store", option, value)


def test_demo_is_exported_as_any_data_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--out", tmp_path, "--songs", 16) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'store'}\n"
    before = snapshot(tmp_path / "store")
    again = ("export", "--pairs", next(tmp_path.glob("*.jsonl")), "--audio-root", tmp_path / "audio")
    assert run(*again, "--out", tmp_path / "again") == 0
    assert snapshot(tmp_path / "again") == before


def test_every_bad_file_is_among_the_data(data: Data) -> None:
    assert set(BAD) <= {json.loads(line)["audio_a"] for line in data.pairs.read_text().splitlines()}
