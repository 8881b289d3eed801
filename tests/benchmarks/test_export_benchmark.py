"""The export benchmark runs from end to end; the loop built as the published one makes the features it should."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_factory import clip_pairs, noise, write_clips
from tiny_weights import clap

from benchmarks import measure
from benchmarks.export import Export, _pairs, _repeated, main
from benchmarks.upstream_export import extract
from feature_export.audio import SignalPath, load
from feature_export.encoders import load_stack


def music(folder: Path, seconds: float) -> Path:
    folder.mkdir()
    for number in range(2):
        soundfile.write(folder / f"{number}.wav", noise(seconds, number, channels=2), 16_000)
    return folder


def test_the_published_loop_goes_through_16_khz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path))
    clap.write(tmp_path / "clap")
    pairs = clip_pairs(write_clips(tmp_path / "audio", 2))
    extract(pairs, load_stack(["clap"], SignalPath()), tmp_path / "audio", tmp_path)
    through_16k = load_stack(["clap"], SignalPath(train16k=True))
    for pair in pairs:
        found = torch.load(tmp_path / f"{pair.id}.pt", weights_only=True)
        for side, clip in (("a", pair.clip_a), ("b", pair.clip_b)):
            expected = through_16k.embed_audio(load(tmp_path / "audio" / clip.path))["clap_audio"]
            assert np.allclose(found[side]["clap_audio"], expected, atol=1e-6)
        assert np.array_equal(found["text"]["clap_text"], through_16k.embed_prompt(pair.prompt)["clap_text"])


def test_clips_are_repeated_as_in_aime() -> None:
    spans = [(f"{number}.wav", (0.0, 10.0)) for number in range(50)]
    pairs = _pairs(spans, _repeated(50))
    assert len(pairs) == 120
    heard = [clip.key for pair in pairs for clip in (pair.clip_a, pair.clip_b)]
    counts = {key: heard.count(key) for key in heard}
    assert len(counts) == 50
    assert set(counts.values()) == {4, 5}


@pytest.mark.slow(reason="makes tiny networks and starts worker processes")
def test_the_benchmark_writes_its_ratios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    audio = music(tmp_path / "audio", 1.1)
    main(Export(audio=audio, encoders=("mert",), clips=4, seconds=0.5, rounds=1, workers=0, tiny=True))
    result = json.loads((tmp_path / "benchmarks/results/export_tiny.json").read_text())
    medians = {rival: run["median"] for rival, run in result["runs"].items()}
    assert result["sides"] == {"distinct": 4, "repeated": 20}
    for name in ("distinct", "repeated"):
        assert result["ratios"][name] == medians[f"upstream, {name}"] / medians[f"ours, {name}"]
        assert 0 < result["encoder_busy"][name] < 1
    assert str(tmp_path) not in json.dumps(result)


@pytest.mark.parametrize("field", [{"clips": 3}, {"clips": 0}, {"rounds": 0}])
def test_what_cannot_be_measured_is_refused(tmp_path: Path, field: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected an even number of clips and rounds >= 1"):
        Export(audio=tmp_path, **field)


def test_too_little_music_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"audio has 2 clips of 1 s, 4 are asked for"):
        main(Export(audio=music(tmp_path / "audio", 1.1), clips=4, seconds=1.0, tiny=True))
