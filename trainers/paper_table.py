"""The paper's tables of a preset's heads: trained on x tested on, gains, input ablation, retraining on K more pairs.

A cell is the mean and the sample standard deviation over seeds, or with one seed the value and its 95 % interval.
Published numbers stand beside ours where the data has the published counts.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trainers.data import Dataset
from trainers.preset_results import ALL, Measured
from trainers.presets import ABLATIONS, FULL, KS, without
from tunejury_jax.metrics import Accuracy
from tunejury_jax.pairs import Split

__all__ = ["paper_tables"]

COUNTS: dict[Split, int] = {"train": 17_554, "valid": 2_111, "test": 2_135}
DECISIVE = 2_035
PUBLISHED = {
    FULL: {"MusicArena": 0.8, "MusicPrefs": 0.7184, "AIME": 0.6744, "SongEval": 0.9076, ALL: 0.7086},
    "A1": {ALL: 0.705},
}
PUBLISHED_K = dict(zip(KS, ((55.6, 1.7), (54.8, 2.0), (54.1, 2.3), (56.1, 2.4), (55.6, 2.0), (57.0, 3.5)), strict=True))
K_TEST = 299

ByHead = Mapping[str, Sequence[Measured]]


def paper_tables(heads: Sequence[Measured], dataset: Dataset) -> list[dict[str, Any]]:
    """The tables that these heads make, as `tables.json` has them."""
    by_head: dict[str, list[Measured]] = {}
    for head in sorted(heads, key=lambda head: head.seed):
        by_head.setdefault(head.head, []).append(head)
    swept = {name: by_head.pop(name) for name in list(by_head) if name.startswith("K=")}
    return [*([_main_table(by_head, dataset)] if by_head else []), *([_k_table(swept)] if swept else [])]


def _main_table(by_head: ByHead, dataset: Dataset) -> dict[str, Any]:
    columns = [
        *(name for name in dataset.sources if any(name in h.accuracy for hs in by_head.values() for h in hs)),
        ALL,
    ]
    published, rows = _is_published(dataset), []
    for name, heads in by_head.items():
        cells = [_accuracy_cell([h.accuracy[c] for h in heads if c in h.accuracy]) for c in columns]
        rows += [[_label(name), str(len(heads)), *cells, *_gains(name, by_head)]]
        if published and name in PUBLISHED:
            numbers = [f"{PUBLISHED[name][c]:.4g}" if c in PUBLISHED[name] else "" for c in columns]
            rows += [[f"{_label(name)}, published", "1", *numbers, "", ""]]
    note = "Accuracy on decisive test pairs; a margin of exactly 0 counts one half. Mean and sample standard deviation "
    note += "over seeds; with one seed the value and its Wilson 95 % interval. gain: of a source, full minus trained "
    note += "without it, on its own test pairs; gain': on all test pairs; paired by seed."
    if not published:
        note += " The data does not have the published counts, so published numbers are not shown."
    return {
        "title": "Trained on (rows), tested on (columns)",
        "note": note,
        "header": ["head", "seeds", *columns, "gain", "gain'"],
        "rows": rows,
    }


def _gains(name: str, by_head: ByHead) -> Iterator[str]:
    """Of a head that was trained without one source."""
    left_out = [source for source in _sources(by_head) if name == without((source,))]
    for column in [*left_out, ALL] if left_out else []:
        yield _gain_cell(_paired_differences(by_head.get(FULL, []), by_head[name], column))
    if not left_out:
        yield from ("", "")


def _paired_differences(full: Sequence[Measured], less: Sequence[Measured], column: str) -> list[float]:
    by_seed = {head.seed: head.accuracy[column].value for head in full if column in head.accuracy}
    return [by_seed[h.seed] - h.accuracy[column].value for h in less if h.seed in by_seed and column in h.accuracy]


def _sources(by_head: ByHead) -> set[str]:
    return {name for heads in by_head.values() for head in heads for name in head.accuracy} - {ALL}


def _k_table(swept: ByHead) -> dict[str, Any]:
    tests = {head.accuracy[ALL].n_decisive for heads in swept.values() for head in heads}
    rows = []
    for name, heads in swept.items():
        percent = [100 * head.accuracy[ALL].value for head in heads]
        published = PUBLISHED_K[int(name.removeprefix("K="))] if tests == {K_TEST} else None
        row = [name, str(len(heads)), f"{np.mean(percent):.1f} ± {np.std(percent):.1f}"]
        rows += [[*row, "{:.1f} ± {:.1f}".format(*published) if published else ""]]
    return {
        "title": "Music Arena alone, retrained with K later battles",
        "note": f"Accuracy in percent on {', '.join(map(str, sorted(tests)))} later battles a seed, mean and population "
        "standard deviation over seeds, as published. Chosen by validation loss; the published ones by accuracy.",
        "header": ["battles added", "seeds", "accuracy", "published"],
        "rows": rows,
    }


def _label(name: str) -> str:
    return f"{name}: {' + '.join(ABLATIONS[name])}" if name in ABLATIONS else name


def _accuracy_cell(found: Sequence[Accuracy]) -> str:
    if len(found) == 1:
        return f"{found[0].value:.4f} ({found[0].low:.4f} to {found[0].high:.4f})"
    values = [one.value for one in found]
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}" if values else ""


def _gain_cell(gains: Sequence[float]) -> str:
    if len(gains) == 1:
        return f"{gains[0]:+.4f} (one seed)"
    return f"{statistics.fmean(gains):+.4f} ± {statistics.stdev(gains):.4f}" if gains else ""


def _is_published(dataset: Dataset) -> bool:
    counts = {split: len(dataset.splits[split]) for split in COUNTS}
    return counts == COUNTS and dataset.decisive("test") == DECISIVE
