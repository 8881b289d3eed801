"""FluxAudio-S learns by MeanAudio's own trainer: clips in its format, and a script that runs it in its environment.

The folder of a round gets `mean-audio/`:

    audio/                   the clips
    captions.tsv             id (name of the clip without suffix), caption
    clips.tsv                id, name, start_sample, end_sample: the ten seconds of each clip that are learnt
    train.sh                 extracts latents and prompt states, then trains
    run/tuned_ema_final.pth  what it leaves: averaged weights

MeanAudio averages weights in its own way (Karras et al., arXiv 2312.02696), raises the learning rate over the first
1,000 iterations, and leaves out silent clips. Written after `training/extract_audio_latents.py`, `meanaudio/data/` and
`train.py` of github.com/xiquan-li/MeanAudio, commit 8740a3e; not run by this project.
"""

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile

from tunejury_jax.applications.expert_iteration.fine_tuning import FineTuning
from tunejury_jax.applications.generators.worker import WorkerGenerator, read_worker
from tunejury_jax.documents import write_whole

__all__ = ["MeanAudio"]

SCRIPT = "fluxaudio_s.py"
PUBLISHED = "weights/fluxaudio_s_full.pth"
LEARNT_S = 10
"""Of every clip; shorter ones are padded with silence."""

TRAIN = """\
#!/bin/sh
# Fine-tunes FluxAudio-S on the clips beside this file. At its end train.py evaluates, which needs data of AudioCaps;
# where that fails, the weights have been written before.
set -e
data={data}
weights={weights}
cd {clone}
{torchrun} training/extract_audio_latents.py \\
    --data_dir "$data/audio" --captions_tsv "$data/captions.tsv" --clips_tsv "$data/clips.tsv" \\
    --latent_dir "$data/latents" --output_dir "$data/npz" --text_encoder t5_clap
{torchrun} train.py --config-name train_config.yaml \\
    exp_id=tuned "hydra.run.dir='$data/run'" model=fluxaudio_s "weights='$weights'" \\
    {datasets} \\
    text_encoder_name=t5_clap data_dim.text_c_dim=512 use_meanflow=False ++use_rope=True cfg_strength=4.5 \\
    {settings} \\
    num_workers=2 compile=False ++use_wandb=False
"""


class MeanAudio:
    """Writes what MeanAudio's trainer needs, and waits for its weights; see `Trainer`.

    Args:
        file: The worker's: it lies in a clone of MeanAudio, and its command ends with the script `fluxaudio_s.py`.

    Raises:
        ValueError: It is another worker's.
    """

    def __init__(self, file: Path) -> None:
        self._config, self._clone = read_worker(file), file.parent.resolve()
        *self._python, script = self._config.command
        if not self._python or Path(script).name != SCRIPT:
            raise ValueError(
                f"generator: {file} cannot be fine-tuned here, expected a command that ends with {SCRIPT}, after the"
                " python that runs it"
            )

    @contextmanager
    def tuned(self, folder: Path | None) -> Iterator[WorkerGenerator]:
        """See `Trainer`."""
        checkpoint = () if folder is None else (str(_checkpoint(folder)),)
        config = replace(self._config, command=(*self._config.command, *checkpoint))
        generator = WorkerGenerator(config, self._clone)
        try:
            yield generator
        finally:
            generator.close()

    def learn(
        self, clips: Sequence[Path], prompts: Sequence[str], start: Path | None, folder: Path, how: FineTuning
    ) -> str | None:
        """Writes clips and script; see `Trainer`.

        Raises:
            ValueError: There are fewer clips than fill a batch.
        """
        if _checkpoint(folder).exists():
            return None
        if len(clips) < how.batch_size:
            raise ValueError(
                f"batch_size: got {how.batch_size}, but {len(clips)} clips; MeanAudio leaves out batches that are not"
                " full"
            )
        data = _data(folder)
        (data / "audio").mkdir(parents=True, exist_ok=True)
        for clip in clips:
            write_whole(data / "audio" / clip.name, clip.read_bytes())
        _write_table(data / "captions.tsv", ("id", "caption"), zip((clip.stem for clip in clips), prompts, strict=True))
        _write_table(data / "clips.tsv", ("id", "name", "start_sample", "end_sample"), map(_span, clips))
        write_whole(data / "train.sh", self._script(start, folder, how))
        return f"sh {shlex.quote(str(data / 'train.sh'))}"

    def _script(self, start: Path | None, folder: Path, how: FineTuning) -> str:
        launch = (*self._python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1")
        return TRAIN.format(
            data=shlex.quote(str(_data(folder))),
            weights=shlex.quote(PUBLISHED if start is None else str(_checkpoint(start))),
            clone=shlex.quote(str(self._clone)),
            torchrun=shlex.join(launch),
            datasets=" \\\n    ".join(_datasets()),
            settings=" ".join(_settings(how)),
        )


def _data(folder: Path) -> Path:
    return folder.resolve() / "mean-audio"


def _checkpoint(folder: Path) -> Path:
    return _data(folder) / "run" / "tuned_ema_final.pth"


def _span(clip: Path) -> tuple[Any, ...]:
    return clip.stem, clip.stem, 0, LEARNT_S * soundfile.info(clip).samplerate


def _datasets() -> Iterator[str]:
    """Training, validation and test data are all read, whether they are used or not."""
    for name in ("AudioCaps_npz", "AudioCaps_val_npz", "AudioCaps_test_npz"):
        yield f"\"data.{name}.tsv='$data/npz.tsv'\" \"data.{name}.npz_dir='$data/npz'\""


def _settings(how: FineTuning) -> Iterator[str]:
    yield f"learning_rate={how.learning_rate:g} num_iterations={how.iterations} batch_size={how.batch_size}"
    yield f"weight_decay={how.weight_decay:g} clip_grad_norm={how.clip_norm:g} seed={how.seed}"
    # The averaged weights are put together from checkpoints, by default one every 10,000 iterations.
    yield f"ema.checkpoint_every={max(1, how.iterations // 10)}"


def _write_table(path: Path, header: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, dialect="excel-tab", lineterminator="\n")
    table.writerows([header, *rows])
    write_whole(path, text.getvalue())
