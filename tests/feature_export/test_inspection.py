"""A look into a store: counts, failures with reasons, durations, and texts shown as they are."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from audio_factory import BAD, clip_pairs, write_bad, write_clips

from feature_export.audio import SignalPath
from feature_export.encoders import load_stack
from feature_export.encoders.mel import MelBaseline
from feature_export.encoders.ngram import NgramBaseline
from feature_export.encoders.protocol import Provenance
from feature_export.encoders.stack import Stack
from feature_export.export import Encoding, plan
from feature_export.inspection import SHOWN_FAILURES, show
from tunejury_jax.blocks import BLOCKS
from tunejury_jax.pairs import Pair
from tunejury_jax.store import FeatureStore, seal_store

STACK = load_stack(["mel"], SignalPath())


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audio")
    for number, name in enumerate(write_clips(root, 5)):
        (root / name).rename(root / f"good {number}.wav")
    write_clips(root / "long", 1, seconds=1.5)
    write_bad(root)
    return root


PAIRS = clip_pairs([*(f"good {number}.wav" for number in range(5)), "long/000.wav", *BAD], prompts=2)


def stored(location: Path, audio: Path, pairs: list[Pair], shard: tuple[int, int] = (0, 1)) -> FeatureStore:
    store = plan(pairs, STACK, str(location), 4)
    Encoding(store, STACK, audio, shard).run()
    return store


def shown(capsys: pytest.CaptureFixture[str], store: FeatureStore) -> str:
    """What `show` prints, with runs of white space as one."""
    capsys.readouterr()
    show(store.location)
    return re.sub(r"[ │┃]+", " ", capsys.readouterr().out)


def test_a_sealed_store_with_failures(capsys: pytest.CaptureFixture[str], audio: Path, tmp_path: Path) -> None:
    store = stored(tmp_path / "a store", audio, PAIRS)
    seal_store(store)
    out = shown(capsys, store)
    assert out.startswith(f"{tmp_path}/a store: sealed; 17 clips, 2 prompts, 17 pairs; blocks of 4 rows\n")
    for name, spec in store.plan.encoders.items():
        blocks, failed = ("1/1", 0) if spec.block.table == "prompt" else ("5/5", len(BAD))
        facts = f"{name} {spec.block.table} {spec.block.dim} float32 1 {spec.fingerprint} {blocks} {failed} \n"
        assert facts in out
    assert " mel_baseline: no weights; signal path crop middle, int16 False, seed 0, train16k False; pooling " in out
    assert " signal: no weights" in out
    assert "Noise none 5 4 4 4 0 \n" in out
    assert f"Failed: {len(BAD)}\n" in out
    for name, reason in BAD.items():
        assert f" clip Noise/{name}: {reason}".replace("\0", "") in out.replace("\0", "")
    assert "Durations: 0.30 to 1.50 s, median 0.30 s, 0.00 h in all\n" in out
    assert "p000 Noise/good 0.wav Noise/good 1.wav a prompt 0 \n" in out
    assert "p016 " in out


def test_counts_by_source_split_and_label(capsys: pytest.CaptureFixture[str], audio: Path, tmp_path: Path) -> None:
    pairs = [
        Pair("1", "B", "good 0.wav", "good 1.wav", "a", split="train"),
        Pair("2", "B", "good 0.wav", "good 1.wav", "a", split="train", prompt="x"),
        Pair("3", "B", "good 0.wav", "good 1.wav", "both_bad", split="test", prompt="y"),
        Pair("4", "A", "good 0.wav", "good 1.wav", "tie", split="train", prompt="x"),
    ]
    out = shown(capsys, stored(tmp_path, audio, pairs))
    rows = ["B train 2 0 0 0 1", "B test 0 0 0 1 0", "A train 0 0 1 0 0"]
    assert [out.index(row) for row in rows] == sorted(out.index(row) for row in rows)
    assert "Failed: 0\n" in out


def test_a_store_half_way(capsys: pytest.CaptureFixture[str], audio: Path, tmp_path: Path) -> None:
    store = stored(tmp_path, audio, PAIRS, shard=(0, 2))
    out = shown(capsys, store)
    assert ": not sealed; 17 clips" in out
    assert " 3/5 " in out
    assert "Durations: not known before all clips are encoded\n" in out


def test_a_store_that_is_only_planned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = shown(capsys, plan(PAIRS, STACK, str(tmp_path), 4))
    assert " 0/5 0 " in out
    assert "Failed: 0\n" in out


def test_a_store_without_any_good_clip(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = shown(capsys, stored(tmp_path / "store", tmp_path, PAIRS))
    assert "Durations: no clip could be decoded\n" in out
    assert " clip Noise/good 0.wav: no such file\n" in out


def test_many_failures_are_cut(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pairs = clip_pairs([f"{number:03}.wav" for number in range(SHOWN_FAILURES + 5)])
    out = shown(capsys, stored(tmp_path / "store", tmp_path, pairs))
    assert f"Failed: {SHOWN_FAILURES + 5}, the first {SHOWN_FAILURES}:\n" in out
    assert out.count(": no such file\n") == SHOWN_FAILURES
    assert "019.wav: no such file" in out
    assert "020.wav: no such file" not in out


@dataclass(frozen=True)
class NamedWeights(MelBaseline):
    """The baseline under another block's name, with all that an encoder with weights records."""

    block = next(block for block in BLOCKS if block.name == "mert")

    def provenance(self) -> Provenance:
        weights: Provenance = {
            "weights": "MERT-v1-330M",
            "weights_revision": "5240c27",
            "weights_sha256": "0c03774d821a6ad9",
        }
        return super().provenance() | weights | {"pooling": "mean", "dtype": "float32"}


def test_licence_and_provenance_of_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stack = Stack((NamedWeights(SignalPath(int16=True)),), (), SignalPath(int16=True))
    out = shown(capsys, plan(PAIRS, stack, str(tmp_path), 4))
    path = "signal path crop middle, int16 True, seed 0, train16k False"
    weights = "weights MERT-v1-330M (CC-BY-NC-4.0); weights revision 5240c27; sha256 0c03774d821a"
    assert f" mert: {weights}; {path}; pooling mean; dtype float32\n" in out


class Forgetful(NgramBaseline):
    """Reads three characters of a prompt."""

    def cut_tokens(self, text: str) -> int:
        return max(0, len(text) - 3)


def test_prompts_that_are_cut_are_counted(capsys: pytest.CaptureFixture[str], audio: Path, tmp_path: Path) -> None:
    stack = Stack((MelBaseline(),), (Forgetful(),))
    store = plan([replace(pair, prompt=f"no {number}") for number, pair in enumerate(PAIRS)], stack, str(tmp_path), 4)
    Encoding(store, stack, audio).run()
    assert f"Cut: {len(PAIRS)} prompts are longer than ngram_baseline reads" in shown(capsys, store)


TEXTS = ["[verse] la [/verse]", "[bold]loud", "[/]", ":fire: hot", "[link=x]y[/link]", "ünï 🎹"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_shown_as_they_are(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    path = text.replace("/", "")
    pair = replace(PAIRS[0], id=f"id {text}", source=f"S{text}", prompt=text, audio_a=f"{path}.wav", audio_b="b.wav")
    out = shown(capsys, stored(tmp_path / "store", tmp_path, [pair]))
    assert f" clip S{text}/{path}.wav: no such file\n" in out
    for cell in (f" id {text} ", f" {text} ", f" S{text} none 1 0 0 0 0 "):
        assert cell in out
