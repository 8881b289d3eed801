"""`tunejury metrics`: every command on small files, and what it says of rubbish."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tyro
from sealed_store import seal

from tests.tiny_weights import clap, mert
from tests.tiny_weights.licences import accept_all
from tunejury_jax.applications.clip_sets import ClipSets
from tunejury_jax.blocks import Block
from tunejury_jax.cli.metrics import ClapScore, Fad, Mad, Metrics, Mpcd, Reference
from tunejury_jax.generation_metrics import fad, mad, mpcd
from tunejury_jax.generation_metrics.embeddings import Embeddings
from tunejury_jax.pairs import Pair
from tunejury_jax.selection import Embedding, Selection
from tunejury_jax.store import EncoderSpec

RATE_HZ = 16_000


def write_tones(folder: Path, count: int, noise: float, seconds: float = 0.3) -> Path:
    """Clips `{i}_c0.wav`, the same for every `noise` but for it."""
    folder.mkdir(parents=True)
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    for number in range(count):
        hiss = np.random.default_rng(number).standard_normal(len(time))
        tones = [np.sin(2 * np.pi * (180 + 40 * number) * harmonic * time) / harmonic for harmonic in range(1, 9)]
        clip = 0.1 * sum(tones) + noise * hiss
        soundfile.write(folder / f"{number}_c0.wav", clip.astype(np.float32), RATE_HZ, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `clean`, `hiss` and `noise`, ever worse."""
    root = tmp_path_factory.mktemp("music")
    for name, noise in (("clean", 0.0), ("hiss", 0.003), ("noise", 0.3)):
        write_tones(root / name, 24, noise)
    return root


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of CLAP and MERT."""
    root = tmp_path_factory.mktemp("weights")
    clap.write(root / "clap")
    mert.write(root / "mert")
    return root


def by_mel(*inputs: Path) -> Embeddings:
    return ClipSets("mel").read([str(path) for path in inputs])


def options(*inputs: Path, **more: Any) -> dict[str, Any]:
    return {"inputs": tuple(map(str, inputs)), "embedding": "mel", "workers": 0, **more}


def test_fad_and_mad_of_worse_clips_are_larger(music: Path, tmp_path: Path) -> None:
    found: dict[str, list[dict[str, Any]]] = {"fad": [], "mad": []}
    for name in ("hiss", "noise"):
        more = {"reference": (str(music / "clean"),), "out": tmp_path / "found.json"}
        for command in (Fad(**options(music / name, **more)), Mad(**options(music / name, **more))):
            assert command.run() == 0
            document = json.loads((tmp_path / "found.json").read_text())
            found[document["metric"]].append(document)
    for hiss, noise in found.values():
        assert 0 <= hiss["value"] < noise["value"]
        assert noise["low"] <= noise["value"] <= noise["high"]
    hiss, clean = by_mel(music / "hiss"), by_mel(music / "clean")
    assert found["fad"][0]["value"] == fad(hiss.values, clean.values).value
    assert found["mad"][0]["by_seed"] == list(mad(hiss.values, clean.values).by_seed)
    assert {"embedding", "fingerprint", "failed", "n", "n_reference", "shrinkage"} <= found["fad"][0].keys()


def test_a_reference_set_is_embedded_once(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "clean.npz"
    assert Reference(**options(music / "clean", out=saved)).run() == 0
    assert "24 clips; 0 cannot be used" in capsys.readouterr().out
    assert Fad(**options(music / "hiss", reference=(str(saved),), infinity=True)).run() == 0
    printed = capsys.readouterr()
    value = fad(by_mel(music / "hiss").values, by_mel(music / "clean").values).value
    assert f"{value:.4f}" in printed.out
    assert "24 against 24" in printed.out
    assert "fad_infinity is a guess: 24 clips, expected at least 1200 for 400 numbers a clip" in printed.out
    assert printed.err.count("embed: 24/24 clips") == 1


def test_a_cache_spares_the_encoder(music: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        assert Mpcd(**options(music / "hiss", cache=cache, out=tmp_path / "found.json")).run() == 0
        kept = sorted(path.name for path in cache.rglob("*") if path.is_file() and "mel" in str(path))
        assert len(kept) == 24
    assert json.loads((tmp_path / "found.json").read_text())["value"] == mpcd(by_mel(music / "hiss").values).value


@pytest.mark.slow
def test_embeddings_share_a_cache(music: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tiny))
    accept_all()
    names: tuple[Embedding, ...] = ("mert", "mert-max", "mert-all-layers")
    clips = [str(music / "clean" / f"{number}_c0.wav") for number in range(3)]
    first, again = ([ClipSets(name, cache=tmp_path).read(clips) for name in names] for _ in range(2))
    assert len(list(tmp_path.glob("mert-*"))) == 3
    for made, cached in zip(first, again, strict=True):
        assert np.array_equal(made.values, cached.values)
        made.require_made_as(cached)
    assert (first[1].values >= first[0].values).all()
    with pytest.raises(ValueError, match=r"made by another encoder than the clips': .*pooling: .*maximum"):
        first[0].require_made_as(first[1])


def test_mad_metric_hears_the_maximum(music: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tiny))
    accept_all()
    more = {"reference": (str(music / "clean"),), "out": tmp_path / "found.json"}
    assert Mad(**options(music / "hiss", embedding=None, preset="mad-metric", **more)).run() == 0
    document = json.loads((tmp_path / "found.json").read_text())
    assert (document["embedding"], document["preset"]) == ("mert-max", "mad-metric")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps([{"prompt_id": number, "prompt": f"a tone of number {number}"} for number in range(24)]))
    return path


def test_clap_score_of_candidates_and_of_a_manifest(
    music: Path, prompts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tiny))
    accept_all()
    out, manifest = tmp_path / "found.json", tmp_path / "clips.jsonl"
    prefixed = "high quality instrumental music, a tone of number"
    lines = [{"path": str(music / "clean" / f"{n}_c0.wav"), "prompt": f"{prefixed} {n}"} for n in range(24)]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    values = []
    for given, texts in ((music / "clean", prompts), (manifest, None)):
        assert ClapScore(inputs=(str(given),), prompts=texts, out=out, workers=0).run() == 0
        document = json.loads(out.read_text())
        values.append(document["value"])
        assert document["n"] == 24
        assert -1 <= document["low"] <= document["value"] <= document["high"] <= 1
    # Files of a folder come in another order.
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    assert ClapScore(inputs=(str(manifest),), prefix="", out=out, workers=0).run() == 0
    assert abs(json.loads(out.read_text())["value"] - values[1]) > 1e-6


def test_clips_without_a_caption_are_counted(music: Path, prompts: Path) -> None:
    prompts.write_text(json.dumps([{"prompt_id": 3, "prompt": "one"}]))
    with pytest.raises(ValueError, match=r"captions: 23 of 24 clips have none, the first is 0_c0\.wav; expected"):
        ClapScore(inputs=(str(music / "clean"),), prompts=prompts, workers=0).run()


def test_unreadable_clips_are_told_and_the_status_is_1(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tones(tmp_path / "some", 4, 0.1)
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("not audio")
    out = tmp_path / "found.json"
    assert Mpcd(**options(folder, out=out)).run() == 1
    printed = capsys.readouterr().out
    assert "clips that cannot be used: 1" in printed
    assert "other files passed over: 1" in printed
    document = json.loads(out.read_text())
    assert document["n"] == 4
    assert list(document["failed"]) == [str(folder / "broken.wav")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "holds no audio"),
        ("broken", "no clip can be used, the first of 2"),
        ("one", "x: expected at least 2 clips, got 1"),
    ],
)
def test_too_few_clips_are_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for number in range(2):
        (tmp_path / "broken" / f"{number}.wav").write_bytes(b"RIFF")
    write_tones(tmp_path / "one", 1, 0.1)
    with pytest.raises(ValueError, match=message):
        Mpcd(**options(tmp_path / name)).run()


def test_what_does_not_go_together_is_refused(music: Path, tmp_path: Path) -> None:
    saved = tmp_path / "clean.npz"
    by_mel(music / "clean").save(saved)
    with pytest.raises(ValueError, match=r"clean\.npz: holds the embedding 'mel', expected 'clap'"):
        Fad(**options(music / "hiss", reference=(str(saved),), embedding="clap")).run()
    with pytest.raises(ValueError, match=r"select: chooses clips of one feature store, got '.*hiss'"):
        Mpcd(**options(music / "hiss", select=Selection(side="a"))).run()
    with pytest.raises(ValueError, match=r"out: got .*set\.json, accepted are names that end in \.npz"):
        Reference(**options(music / "hiss", out=tmp_path / "set.json")).run()
    with pytest.raises(ValueError, match="inputs: expected at least one file"):
        Mpcd(**options()).run()
    with pytest.raises(ValueError, match="embedding: got 'mel', accepted are 'clap'"):
        ClipSets("mel").captioned([str(music / "clean")])


def documented() -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    return re.findall(r"^tunejury metrics (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("line", documented())
def test_the_commands_of_the_page_are_understood(line: str) -> None:
    chosen = tyro.cli(tyro.conf.OmitSubcommandPrefixes[Metrics], args=shlex.split(line))
    assert shlex.split(line)[1] in chosen.action.inputs


def test_every_command_has_its_example() -> None:
    assert {line.split()[0] for line in documented()} == {"fad", "mad", "clap-score", "mpcd", "reference"}


def test_clips_of_a_store_against_others_of_it(tmp_path: Path) -> None:
    spec = EncoderSpec(Block("mel_baseline", 400, "clip"), {"encoder": "mel_baseline", "revision": "1"})
    values = np.random.default_rng(0).standard_normal((20, 400)).astype(np.float32)
    systems = {"system_a": "new", "system_b": "human"}
    pairs = [Pair(str(n), "One", f"a{n}.wav", f"b{n}.wav", "a", **systems) for n in range(10)]
    seal(tmp_path / "store", pairs, [spec], {"mel_baseline": values})
    chosen = {"select": Selection(system="new"), "of_reference": Selection(system="human")}
    more = {**chosen, "reference": (str(tmp_path / "store"),), "out": tmp_path / "found.json"}
    assert Fad(**options(tmp_path / "store", **more)).run() == 0
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["value"] == fad(values[:10], values[10:]).value
    assert (document["n"], document["n_reference"]) == (10, 10)


def test_help_comes_without_the_metrics() -> None:
    code = "import sys, tunejury_jax.cli.metrics; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
