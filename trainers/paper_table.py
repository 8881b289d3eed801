"""The paper's tables of a preset's heads: trained on x tested on, gains, input ablation, retraining on K more battles.

A cell is the mean and the standard deviation over seeds, or with one seed the value and its 95 % interval. Published
numbers stand beside ours where the data has the published counts.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trainers.data import Dataset
from trainers.k_sweep import KS, added, k_name
from trainers.preset_results import ALL, EARLIER, Measured
from trainers.presets import ABLATIONS, FULL, LEAVE_OUTS, MUQ_HEAD, RELEASE, UNPROMPTED, without
from tunejury_jax.metrics import Accuracy
from tunejury_jax.pairs import Split

__all__ = ["paper_tables", "percent"]

COUNTS: dict[Split, int] = {"train": 17_554, "valid": 2_111, "test": 2_135}
DECISIVE = 2_035
K_COUNTS: dict[Split, int] = {"train": 571, "valid": 54}
"""Of Music Arena."""
K_TEST = 299
PUBLISHED = {
    FULL: {"MusicArena": "80.00", "MusicPrefs": "71.84", "AIME": "67.44", "SongEval": "90.76", ALL: "70.86"},
    "A1": {ALL: "70.5"},
}
PUBLISHED_K = dict(zip(KS, ("55.6 ±1.7", "54.8 ±2.0", "54.1 ±2.3", "56.1 ±2.4", "55.6 ±2.0", "57.0 ±3.5"), strict=True))

MUQ_LESS = f"{MUQ_HEAD}, {without(('MusicArena',))}"
ORDER = (FULL, *map(without, LEAVE_OUTS), UNPROMPTED, MUQ_HEAD, MUQ_LESS, *ABLATIONS)
LEFT_OUT = {**{without(sources): sources[0] for sources in LEAVE_OUTS if len(sources) == 1}, MUQ_LESS: "MusicArena"}
"""Heads that were trained without one source -> that source."""
REFERENCE = {name: FULL for name in ORDER if name not in (FULL, MUQ_HEAD)} | {MUQ_LESS: MUQ_HEAD}
"""Heads to which something was not given -> the head that has it."""
LABELS = {name: f"{name}: {' + '.join(blocks)}" for name, blocks in ABLATIONS.items()}

NOTE = """Accuracy in percent on decisive test pairs, whose number is in brackets above; a margin of exactly 0 is \
undecided and counts one half. Mean ± sample standard deviation over seeds: that of training alone, which says nothing \
of how few pairs there are. With one seed the value and its Wilson 95 % interval."""
GAIN_NOTE = """ gain: accuracy of full minus that of the head, in points, on the test pairs of the source that the \
head was trained without; gain': on all test pairs; both paired by seed."""
HEAD_NOTES = {
    MUQ_LESS: f" {MUQ_LESS} is compared with {MUQ_HEAD}.",
    UNPROMPTED: f" {UNPROMPTED}: measured without them, too.",
}
K_NOTE = """Accuracy in percent on {} later battles a seed, other ones for each seed. Mean ± population standard \
deviation over seeds, as published; with one seed the value and its Wilson 95 % interval. Heads were chosen by \
validation loss, the published ones by validation accuracy."""
EARLIER_NOTE = """ Earlier: test pairs of what the head was trained on before the K battles came; forgotten: by how \
many points its accuracy on them is under that of K = 0, paired by seed."""
UNPUBLISHED = " The data does not have the published counts, so published numbers are not shown."

ByHead = Mapping[str, Sequence[Measured]]
Deviation = Callable[[Sequence[float]], float]


def paper_tables(heads: Sequence[Measured], dataset: Dataset) -> list[dict[str, Any]]:
    """The tables that these heads make, as `tables.json` has them."""
    swept = [head for head in heads if added(head.head) is not None]
    others = [head for head in heads if added(head.head) is None]
    tables = [_main_table(_by_head(others), dataset)] if others else []
    return [*tables, *([_k_table(_by_head(swept), dataset)] if swept else [])]


def _by_head(heads: Sequence[Measured]) -> dict[str, list[Measured]]:
    """The heads of each name, by seed; names in the order of the tables, whichever seed failed or ended first."""
    found: dict[str, list[Measured]] = {}
    for head in sorted(heads, key=lambda head: (_place(head.head), head.seed)):
        found.setdefault(head.head, []).append(head)
    return found


def _place(name: str) -> int:
    k = added(name)
    return ORDER.index(name) if k is None else k


def _main_table(by_head: ByHead, dataset: Dataset) -> dict[str, Any]:
    some = next(iter(by_head.values()))[0].accuracy  # all are measured on the same pairs
    columns = [*(name for name in some if name != ALL), ALL]
    gains = ["gain", "gain'"] * any(name in REFERENCE for name in by_head)
    published, rows = _is_published(dataset), []
    for name, heads in by_head.items():
        cells = [_cell([head.accuracy[column] for head in heads], statistics.stdev) for column in columns]
        rows += [[_label(name, by_head), str(len(heads)), *cells, *(_gains(name, by_head) if gains else [])]]
        if published and name in PUBLISHED:
            numbers = [PUBLISHED[name].get(column, "") for column in columns]
            rows += [[f"{LABELS.get(name, name)}, published", "1", *numbers, *("" for _ in gains)]]
    notes = [NOTE, GAIN_NOTE * bool(gains), *(note for name, note in HEAD_NOTES.items() if name in by_head)]
    return {
        "title": "Trained on (rows), tested on (columns)",
        "note": "".join(notes) + UNPUBLISHED * (not published),
        "header": ["head", "seeds", *(f"{c} ({some[c].n_decisive})" for c in columns), *gains],
        "rows": rows,
    }


def _label(name: str, by_head: ByHead) -> str:
    """The name, and whether the head has no opinion at all: its one half is no measurement."""
    whole = [head.accuracy[ALL] for head in by_head[name]]
    undecided = all(found.undecided == found.n_decisive for found in whole)
    also = " (A7)" * (name == FULL and not by_head.keys().isdisjoint(ABLATIONS))
    return LABELS.get(name, name) + also + ", all undecided" * undecided


def _gains(name: str, by_head: ByHead) -> list[str]:
    reference = by_head.get(REFERENCE.get(name, ""), [])
    columns = [LEFT_OUT.get(name), ALL]
    return [_gain_cell(_differences(reference, by_head[name], column)) for column in columns]


def _differences(more: Sequence[Measured], less: Sequence[Measured], column: str | None) -> list[float]:
    """By how much the accuracies of one head are above those of another, seed by seed."""
    by_seed = {head.seed: head.accuracy[column].value for head in more if column in head.accuracy}
    return [by_seed[h.seed] - h.accuracy[column].value for h in less if h.seed in by_seed and column in h.accuracy]


def _k_table(by_head: ByHead, dataset: Dataset) -> dict[str, Any]:
    tests = {head.accuracy[ALL].n_decisive for heads in by_head.values() for head in heads}
    published, rows = tests == {K_TEST} and _counts(dataset, K_COUNTS, "MusicArena") == K_COUNTS, []
    earlier = _earlier_counts(by_head)
    for name, heads in by_head.items():
        ours = _cell([head.accuracy[ALL] for head in heads], statistics.pstdev, digits=1)
        k = added(name)
        known = [PUBLISHED_K[k]] if published and k is not None else []
        rows += [[str(k), str(len(heads)), ours, *known, *(_forgotten(heads, by_head) if earlier else [])]]
    notes = [K_NOTE.format(" or ".join(map(str, sorted(tests)))), EARLIER_NOTE * bool(earlier)]
    old = [f"earlier ({' or '.join(map(str, sorted(earlier)))})", "forgotten"] if earlier else []
    return {
        "title": "Music Arena alone, retrained with K later battles",
        "note": "".join(notes) + UNPUBLISHED * (not published),
        "header": ["K", "seeds", "accuracy", *["published, 5 seeds"] * published, *old],
        "rows": rows,
    }


def _earlier_counts(by_head: ByHead) -> set[int]:
    """How many earlier test pairs the heads were measured on; none where a head was not."""
    found = [head.accuracy.get(EARLIER) for heads in by_head.values() for head in heads]
    return {each.n_decisive for each in found if each} if all(found) else set()


def _forgotten(heads: Sequence[Measured], by_head: ByHead) -> list[str]:
    """Accuracy on the earlier pairs, and by how much it is under that of K = 0."""
    cell = _cell([head.accuracy[EARLIER] for head in heads], statistics.pstdev, digits=1)
    return [cell, _gain_cell(_differences(by_head.get(k_name(0), []), heads, EARLIER))]


def percent(found: Accuracy, digits: int = 2) -> str:
    """An accuracy in percent, and its interval."""
    value, low, high = (100 * number for number in found[:3])
    return f"{value:.{digits}f} ({low:.1f}-{high:.1f})"


def _cell(found: Sequence[Accuracy], deviation: Deviation, digits: int = 2) -> str:
    if len(found) == 1:
        return percent(found[0], digits)
    values = [100 * one.value for one in found]
    return f"{statistics.fmean(values):.{digits}f} ±{deviation(values):.{digits}f}"


def _gain_cell(gains: Sequence[float]) -> str:
    points = [100 * gain for gain in gains]
    if len(points) < 2:
        return f"{points[0]:+.2f}" if points else ""
    return f"{statistics.fmean(points):+.2f} ±{statistics.stdev(points):.2f}"


def _is_published(dataset: Dataset) -> bool:
    """Whether this is the published data: the counts of its splits, and its blocks."""
    same = _counts(dataset, COUNTS) == COUNTS and dataset.decisive("test") == DECISIVE
    return same and set(RELEASE) <= set(dataset.layout.names)


def _counts(dataset: Dataset, splits: Iterable[Split], source: str | None = None) -> dict[Split, int]:
    """How many usable pairs splits have, of all sources or of one."""
    names = np.array(dataset.sources)[dataset.source]
    of_source = np.ones(len(names), bool) if source is None else names == source
    return {split: int(of_source[dataset.splits[split]].sum()) for split in splits}
