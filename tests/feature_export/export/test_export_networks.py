"""The commands with encoders that have networks, on tiny random weights: good and bad files, bad weights, resuming."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tyro
from audio_factory import clip_pairs, noise
from store_factory import snapshot
from tiny_weights import clap, mert, muq
from tiny_weights.licences import accept_all

from feature_export.__main__ import Command, main
from feature_export.audio import SignalPath, load
from feature_export.encoders import Compute, Stack, load_stack
from feature_export.export.batches import Batches
from tunejury_jax.store import FeatureStore, StoreError

ROOT = Path(__file__).parents[3]
TINY: dict[str, Callable[[Path], None]] = {"clap": clap.write, "mert": mert.write, "muq": muq.write}
FAMILIES = ("mel", *TINY)

GOOD = {
    "8 channels.wav": (noise(0.3, 0, channels=8), 16_000),
    "8 kHz.wav": (noise(0.15, 1), 8_000),
    "as long.wav": (noise(0.3, 2), 16_000),
    "one sample.wav": (noise(0.3, 3)[:1], 16_000),
    "really wav.mp3": (noise(0.3, 4), 16_000),
    "twelve seconds.wav": (noise(6, 5), 8_000),
}
BAD = {
    "nan.wav": "1 of 1600 samples are not finite",
    "no samples.wav": "zero length: holds no samples",
    "really wav.txt": "unsupported file type '.txt', accepted are ",
    "ten hours.wav": "lasts 36000 s, accepted are at most 10800 s",
}


def run(*arguments: Any) -> int:
    return main(tyro.cli(Command, args=[str(argument) for argument in arguments]))  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("weights")
    for name, write in TINY.items():
        write(root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEJURY_WEIGHTS", str(root))
        accept_all()
        yield root


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audio")
    for name, (samples, rate_hz) in GOOD.items():
        soundfile.write(root / name, samples, rate_hz, format="WAV")
    spoiled = noise(0.1, 0)
    spoiled[3] = np.nan
    soundfile.write(root / "nan.wav", spoiled, 16_000, subtype="FLOAT")
    soundfile.write(root / "no samples.wav", spoiled[:0], 16_000)
    shutil.copy(root / "as long.wav", root / "really wav.txt")
    write_ten_hours(root / "ten hours.wav")
    clip_pairs(sorted([*GOOD, *BAD]), root / "pairs.jsonl")
    return root


def write_ten_hours(path: Path) -> None:
    """As its header promises, and on the disk, which stores no zeros."""
    soundfile.write(path, np.zeros(2), 8_000, subtype="PCM_U8")
    samples = 36_000 * 8_000
    head = bytearray(path.read_bytes()[:-2])
    head[4:8], head[-4:] = (len(head) - 8 + samples).to_bytes(4, "little"), samples.to_bytes(4, "little")
    path.write_bytes(head)
    os.truncate(path, len(head) + samples)


def export(audio: Path, out: Path, *more: Any) -> int:
    source = ("--pairs", audio / "pairs.jsonl", "--audio-root", audio, "--out", out)
    return run("export", *source, "--block-rows", 4, "--workers", 0, *more)


def stack(*families: str, path: SignalPath | None = None, **compute: Any) -> Stack:
    return load_stack(families, path or SignalPath(), Compute(**compute))


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request: pytest.FixtureRequest, audio: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    out = tmp_path_factory.mktemp(request.param) / "store"
    assert export(audio, out, "--encoders", request.param) == 0
    return FeatureStore.open_sealed(str(out))


def audio_blocks(store: FeatureStore) -> list[str]:
    return [name for name, spec in store.plan.encoders.items() if spec.block.table == "clip"]


def test_bad_files_are_failed_rows_with_their_reason(exported: FeatureStore) -> None:
    names = [clip.path for clip in exported.clips()]
    for block in audio_blocks(exported):
        reasons = {names[row]: reason for row, reason in exported.failures(block).items()}
        assert reasons.keys() == BAD.keys()
        assert all(reasons[name].startswith(expected) for name, expected in BAD.items())


def test_good_files_are_encoded_as_they_are_alone(exported: FeatureStore, audio: Path) -> None:
    family = next(name for name in FAMILIES if any(name in block for block in exported.plan.encoders))
    alone, names = stack(family), [clip.path for clip in exported.clips()]
    for name in GOOD:
        for block, expected in alone.embed_audio(load(audio / name)).items():
            found = exported.load(block).values[names.index(name)]
            assert np.abs(found - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max())


def test_ten_hours_are_not_read(exported: FeatureStore) -> None:
    names = [clip.path for clip in exported.clips()]
    digests = [digest for commit in exported.commits("signal") for digest in commit["audio_sha256"]]
    missing = {name for name, digest in zip(names, digests, strict=True) if digest is None}
    assert missing == {"ten hours.wav"}


def test_ten_hours_that_are_still_there_are_no_change(exported: FeatureStore, audio: Path) -> None:
    assert run("verify", "--store", exported.location, "--audio-root", audio) == 0


def test_windows_of_many_clips_go_through_the_network_together(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[str, int, int]] = []
    run_batch = Batches._embed

    def noted(self: Batches, windows: Any) -> Any:
        sizes.append((self._encoder.block.name, len(windows), len(windows[0])))
        return run_batch(self, windows)

    monkeypatch.setattr(Batches, "_embed", noted)
    blocks = ("--block-rows", 16, "--batch-seconds", 60)
    assert export(audio, tmp_path / "store", "--encoders", "clap", "mert", "muq", *blocks) == 0
    assert ("clap_audio", 6, 480_000) in sizes
    assert ("mert", 4, 7_200) in sizes
    assert ("muq_audio", 4, 14_400) in sizes


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_bit(audio: Path, tmp_path: Path, workers: int) -> None:
    families = ("--encoders", "clap", "mert", "mel")
    assert export(audio, tmp_path / "in one", *families) == 0
    assert export(audio, tmp_path / "in more", *families, "--workers", workers) == 0
    assert snapshot(tmp_path / "in more") == snapshot(tmp_path / "in one")


def test_lost_blocks_are_made_again_to_the_same_bits(audio: Path, tmp_path: Path) -> None:
    families = ("--encoders", "clap", "mert")
    assert export(audio, tmp_path, *families) == 0
    before = snapshot(tmp_path)
    for lost in ("SEALED.json", "commits/mert/00000000.json", "commits/clap_audio/00000002.json"):
        (tmp_path / lost).unlink()
    for lost in ("features/mert/c.0.0", "features/clap_audio/c.2.0"):
        (tmp_path / lost).write_bytes(b"")
    assert export(audio, tmp_path, *families) == 0
    assert snapshot(tmp_path) == before


def test_a_batch_that_does_not_fit_is_told(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from feature_export.encoders.mert.encoder import Mert

    whole = Mert.embed_windows

    def small(self: Mert, windows: Any) -> Any:
        if len(windows) > 1 or windows.shape[1] > 100_000:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(self, windows)

    monkeypatch.setattr(Mert, "embed_windows", small)
    assert export(audio, tmp_path / "store", "--encoders", "mert", "--block-rows", 16) == 0
    assert (
        "3 batches did not fit the memory and were halved; a smaller --batch-seconds is fast" in capsys.readouterr().err
    )
    store = FeatureStore.open_sealed(str(tmp_path / "store"))
    (row,) = [row for row, clip in enumerate(store.clips()) if clip.path == "twelve seconds.wav"]
    assert store.failures("mert")[row] == "mert: out of memory with a single window of 288000 samples"
    assert len(store.failures("mert")) == len(BAD) + 1


def test_prompts_that_are_cut_are_recorded_and_told(
    audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(GOOD)
    pairs = clip_pairs(names)
    lines = [{"id": p.id, "source": "S", "audio_a": p.audio_a, "audio_b": p.audio_b, "label": "a"} for p in pairs]
    for number, line in enumerate(lines):
        line["prompt"] = "calm piano" if number % 2 else "q" * (100 * number + 76)
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = ("--pairs", tmp_path / "pairs.jsonl", "--audio-root", audio, "--out", tmp_path / "store")
    assert run("export", *source, "--encoders", "clap", "mel", "--workers", 0, "--block-rows", 2) == 0
    assert "3 prompts are longer than an encoder reads; their ends were not heard\n" in capsys.readouterr().err
    store = FeatureStore.open_sealed(str(tmp_path / "store"))
    cut = [commit.get("cut_tokens") for commit in store.commits("clap_text")]
    assert cut == [{"1": 1}, {"2": 201, "3": 401}]
    assert ["cut_tokens" in commit for commit in store.commits("ngram_baseline")] == [False, False]


@pytest.mark.parametrize("family", TINY)
def test_bfloat16_is_another_encoder(audio: Path, tmp_path: Path, family: str) -> None:
    assert (
        run("plan", "--pairs", audio / "pairs.jsonl", "--out", tmp_path / "a", "--encoders", family, "--autocast") == 0
    )
    assert run("plan", "--pairs", audio / "pairs.jsonl", "--out", tmp_path / "b", "--encoders", family) == 0
    fast, whole = (FeatureStore.open(str(tmp_path / name)).plan.encoders for name in "ab")
    for name in set(fast) - {"signal"}:
        assert (fast[name].provenance["dtype"], whole[name].provenance["dtype"]) == ("bfloat16 autocast", "float32")
        assert fast[name].fingerprint != whole[name].fingerprint
    assert run("encode", "--store", tmp_path / "a", "--audio-root", audio, "--workers", 0) == 0


def test_the_switches_reach_the_encoders(audio: Path, tmp_path: Path) -> None:
    switches = ("--crop", "windows", "--train16k", "--int16", "--dtype", "float16", "--crop-seed", 3)
    assert export(audio, tmp_path, "--encoders", "clap", *switches, "--device", "cpu") == 0
    store = FeatureStore.open_sealed(str(tmp_path))
    path = SignalPath("windows", True, True, 3)
    alone = stack("clap", path=path).embed_audio(load(audio / "twelve seconds.wav"))
    features = store.load("clap_audio")
    row = [clip.path for clip in store.clips()].index("twelve seconds.wav")
    assert store.plan.encoders["clap_audio"].dtype == "float16"
    assert np.abs(features.values[row].astype(np.float32) - alone["clap_audio"]).max() < 1e-3


def damaged(weights: Path, root: Path, family: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of the weights of which one file is changed."""
    shutil.copytree(weights, root)
    checkpoint = max((root / family).rglob("*"), key=lambda path: path.stat().st_size)
    checkpoint.write_bytes(change(checkpoint.read_bytes()))
    return root


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize(
    "change",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"not weights"],
    ids=["cut", "empty", "text"],
)
def test_damaged_weights_leave_nothing_behind(
    weights: Path, audio: Path, tmp_path: Path, family: str, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(damaged(weights, tmp_path / "weights", family, change)))
    with pytest.raises(ValueError, match="is damaged"):
        export(audio, tmp_path / "store", "--encoders", family)
    assert not (tmp_path / "store").exists()


SMALL_FILES = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
runpy.run_module("feature_export", run_name="__main__", alter_sys=True)
"""


def command(
    *arguments: Any, start: Sequence[str] = ("-m", "feature_export"), **options: Any
) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *start, *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


def test_damaged_weights_are_one_line_and_status_2(weights: Path, audio: Path, tmp_path: Path) -> None:
    root = damaged(weights, tmp_path / "weights", "mert", lambda data: data[:-100])
    source = ("--pairs", audio / "pairs.jsonl", "--out", tmp_path / "store", "--encoders", "mert")
    done = command("plan", *source, env=os.environ | {"TUNEJURY_WEIGHTS": str(root)})
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"python -m feature_export: error: weights: {root / 'mert/pytorch_model.bin'} is damaged")
    assert not (tmp_path / "store").exists()


def test_a_full_disk_is_one_line_and_the_same_command_continues(audio: Path, tmp_path: Path) -> None:
    """A file may grow to 20 kB, and a block has 16 rows of 1600 bytes: TensorStore fails as on a disk that is full."""
    planned = ("--pairs", audio / "pairs.jsonl", "--block-rows", 16)
    encode = ("encode", "--audio-root", audio, "--workers", 0, "--store")
    assert run("plan", *planned, "--out", tmp_path / "store") == 0
    done = command(*encode, tmp_path / "store", start=("-c", SMALL_FILES))
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.splitlines()
    assert last.startswith("python -m feature_export: error: mel_baseline, block 0: cannot be written: ")
    assert "File too large" in last
    with pytest.raises(StoreError, match="not committed"):
        run("seal", "--store", tmp_path / "store")
    assert run(*encode, tmp_path / "store") == 0
    assert run("seal", "--store", tmp_path / "store") == 0
    assert export(audio, tmp_path / "undisturbed", "--block-rows", 16) == 0
    assert snapshot(tmp_path / "store") == snapshot(tmp_path / "undisturbed")
