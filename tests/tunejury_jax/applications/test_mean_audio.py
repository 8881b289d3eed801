"""FluxAudio-S learns by its own trainer: what is written for it, read as its code reads it, and how a run goes on."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import soundfile
from random_heads import TOY_BLOCKS, random_state
from toy_stack import TOY, toy_stack

from tunejury_jax.applications.expert_iteration.fine_tuning import FineTuning
from tunejury_jax.applications.expert_iteration.mean_audio import MeanAudio
from tunejury_jax.applications.expert_iteration.rounds import Expert, Plan
from tunejury_jax.applications.expert_iteration.selection import Selection
from tunejury_jax.applications.generators import workers
from tunejury_jax.applications.prompts import Prompt
from tunejury_jax.blocks import Layout
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.scorer import Scorer
from tunejury_jax.state_dict import from_state_dict

PROMPTS = [Prompt("7", "calm piano"), Prompt("08", 'a "tab"\there,\nand a line')]
TUNING = FineTuning(iterations=5000, batch_size=2)
PLAN = Plan(rounds=2, candidates=5, selection=Selection(0.2), tuning=TUNING, duration_s=0.05)
WORKER = """
import array, random, sys
from serve import serve
level = float(open(sys.argv[1]).read()) if len(sys.argv) > 1 else 0.05
def make(prompt, seed, duration_s):
    draws = random.Random(f"{prompt}{seed}")
    return array.array("f", (level * draws.uniform(-1, 1) for _ in range(round(16000 * duration_s)))).tobytes()
serve(lambda: make, "fluxaudio-s", 16000, 1, 10.0, {"weights": sys.argv[1:]})
"""
PYTHON = """#!/bin/sh
if [ "$1" = -m ]; then [ -e asked ] || pwd > asked; for word in "$@"; do printf '%s\\n' "$word" >> asked; done
else exec {python} "$@"; fi
"""


@pytest.fixture
def worker(tmp_path):
    """A clone with a script in place of FluxAudio-S, whose checkpoint is a loudness; its python trains nothing."""
    clone = tmp_path / "my clone"
    clone.mkdir()
    shutil.copy(Path(workers.__file__).parent / "serve.py", clone)
    (clone / "fluxaudio_s.py").write_text(WORKER)
    (clone / "python").write_text(PYTHON.format(python=sys.executable))
    (clone / "python").chmod(0o755)
    (clone / "worker.json").write_text(json.dumps({"name": "fluxaudio-s", "command": ["./python", "fluxaudio_s.py"]}))
    return clone / "worker.json"


@pytest.fixture(scope="module")
def scorer():
    """Louder is better: no weight of its head is negative."""
    layout = Layout.of(TOY_BLOCKS)
    config = HeadConfig(layout.dim, (6, 4))
    state = {name: 0 * v if name.endswith("running_mean") else np.abs(v) for name, v in random_state(config).items()}
    return Scorer(Checkpoint(config, layout, TOY, from_state_dict(state, config)), toy_stack())


def run(worker, scorer, out, rates=(1e-6,), plan=PLAN):
    expert = Expert(MeanAudio(worker), scorer, PROMPTS, plan, out)
    return list(expert.run(rates)), expert


def train(out, branch, number, level):
    weights = out / f"{branch}/round-{number}/mean-audio/run/tuned_ema_final.pth"
    weights.parent.mkdir()
    weights.write_text(str(level))
    return str(weights)


def test_a_run_waits_for_weights_and_goes_on_with_them(tmp_path, worker, scorer):
    out = tmp_path / "out"
    judged, expert = run(worker, scorer, out, (1e-6, 5e-6))
    assert [each.branch for each in judged] == ["published"]
    assert expert.waiting == {
        branch: f"sh {out}/{branch}/round-1/mean-audio/train.sh" for branch in ("lr-1e-06", "lr-5e-06")
    }
    train(out, "lr-1e-06", 1, 0.1)
    judged, expert = run(worker, scorer, out, (1e-6, 5e-6))
    assert [(each.branch, each.round) for each in judged] == [("published", 0), ("lr-1e-06", 1)]
    assert expert.waiting.keys() == {"lr-1e-06", "lr-5e-06"}
    assert "round-2" in expert.waiting["lr-1e-06"]
    train(out, "lr-1e-06", 2, 0.2)
    judged, expert = run(worker, scorer, out)
    means = [np.mean([clip.reward for clip in each.clips]) for each in judged]
    assert means == sorted(set(means))
    assert len(means) == 3
    assert expert.waiting == {}


def learnt(tmp_path, worker, start=None, how=TUNING):
    """The data of two clips."""
    clips = [tmp_path / "08_c3.wav", tmp_path / "7_c0.wav"]
    for number, clip in enumerate(clips):
        soundfile.write(clip, np.full(1000 + number, 0.25), 16_000, subtype="FLOAT")
    asked = MeanAudio(worker).learn(clips, [PROMPTS[1].text, PROMPTS[0].text], start, tmp_path / "round", how)
    return asked, tmp_path / "round/mean-audio"


def test_tables_are_read_as_meanaudio_reads_them(tmp_path, worker):
    """By the calls of its `wav_dataset.py`."""
    _, data = learnt(tmp_path, worker)
    captions = pandas.read_csv(data / "captions.tsv", sep="\t", dtype={"id": str}).to_dict("records")
    assert {row["id"]: row["caption"] for row in captions} == {"08_c3": PROMPTS[1].text, "7_c0": PROMPTS[0].text}
    clips = pandas.read_csv(data / "clips.tsv", sep="\t", dtype={"id": str, "name": str}).to_dict("records")
    assert [(row["id"], row["name"]) for row in clips] == [("08_c3", "08_c3"), ("7_c0", "7_c0")]
    assert [(row["start_sample"], row["end_sample"]) for row in clips] == [(0, 160_000)] * 2
    for number, row in enumerate(clips):
        samples, rate_hz = soundfile.read(data / f"audio/{row['name']}.wav", dtype="float32")
        assert (samples.tolist(), rate_hz) == ([0.25] * (1000 + number), 16_000)


EXTRACTING = """training/extract_audio_latents.py --data_dir DATA/audio --captions_tsv DATA/captions.tsv
--clips_tsv DATA/clips.tsv --latent_dir DATA/latents --output_dir DATA/npz --text_encoder t5_clap"""
TRAINING = """train.py --config-name train_config.yaml exp_id=tuned hydra.run.dir='DATA/run' model=fluxaudio_s
weights='weights/fluxaudio_s_full.pth' data.AudioCaps_npz.tsv='DATA/npz.tsv' data.AudioCaps_npz.npz_dir='DATA/npz'
data.AudioCaps_val_npz.tsv='DATA/npz.tsv' data.AudioCaps_val_npz.npz_dir='DATA/npz'
data.AudioCaps_test_npz.tsv='DATA/npz.tsv' data.AudioCaps_test_npz.npz_dir='DATA/npz' text_encoder_name=t5_clap
data_dim.text_c_dim=512 use_meanflow=False ++use_rope=True cfg_strength=4.5 learning_rate=5e-06 num_iterations=5000
batch_size=2 weight_decay=1e-06 clip_grad_norm=1 seed=3 ema.checkpoint_every=500 num_workers=2 compile=False
++use_wandb=False"""


def test_the_script_extracts_and_trains_in_the_clone(tmp_path, worker):
    asked, data = learnt(tmp_path, worker, how=replace(TUNING, learning_rate=5e-6, seed=3))
    assert asked == f"sh {data}/train.sh"
    assert asked_of(worker, data) == [each.replace("DATA", str(data)).split() for each in (EXTRACTING, TRAINING)]


def asked_of(worker, data):
    """What the script starts, in the clone."""
    subprocess.run(["sh", data / "train.sh"], check=True, timeout=20)
    clone, *words = (worker.parent / "asked").read_text().splitlines()
    assert clone == str(worker.parent)
    calls = "\n".join(words).split("-m\ntorch.distributed.run\n--standalone\n--nproc_per_node=1\n")
    return [call.split() for call in calls[1:]]


def test_later_rounds_start_from_the_weights_of_the_round_before(tmp_path, worker):
    _, data = learnt(tmp_path, worker, start=tmp_path / "before")
    weights = f"weights='{tmp_path}/before/mean-audio/run/tuned_ema_final.pth'"
    assert weights in asked_of(worker, data)[1]


def test_what_is_not_learnt_with_is_refused(tmp_path, worker):
    with pytest.raises(ValueError, match="batch_size: got 3, but 2 clips"):
        learnt(tmp_path, worker, how=replace(TUNING, batch_size=3))
    for command in (["./python", "tone.py"], ["./python", "fluxaudio_s.py", "my.pth"], ["fluxaudio_s.py"]):
        worker.write_text(json.dumps({"name": "fluxaudio-s", "command": command}))
        with pytest.raises(ValueError, match=r"expected a command that ends with fluxaudio_s\.py"):
            MeanAudio(worker)
