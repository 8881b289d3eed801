"""Made-up run folders, and their reports taken apart."""

import itertools
import json
import math
from html.parser import HTMLParser

import numpy as np
from matplotlib.text import Text

from trainers.reporting.run_page import write_report
from trainers.reporting.run_reader import Trial
from tunejury_jax import metrics

SOURCES = {"AIME": 156, "MusicPrefs": 25, "SongEval": 25, "MusicArena": 8}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> $\\frac{$ & \ud800 \x07 日本'
VOID = {"meta", "img"}
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "section", "div", "b", "span", "p", "img"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}


class Page(HTMLParser):
    """A parsed report: its tags, attributes, images and rows; refuses a page whose tags do not nest."""

    def __init__(self, html):
        super().__init__()
        self.html, self.text, self.tags = html, "", set()
        self.stack, self.attributes, self.images, self.rows = [], [], [], []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.stack and self.stack[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def trial(number, **fields):
    rate, dropout, widths = 10 ** (-4 + number % 7 / 3), 0.1 + number % 5 / 10, [64 + number % 3, 8]
    record = {"trial": number, "state": "complete", "valid_loss": 0.6 + ((number * 7) % 20) / 400}
    record["params"] = {"learning_rate": rate, "dropout": dropout, "widths": widths}
    return record | {"valid_accuracy": 0.7, "best_epoch": 5, "epochs": 12, "seconds": 3.25, "error": None} | fields


def failed(number, error="the loss is not finite"):
    return trial(number, state="failed", valid_loss=None, valid_accuracy=None, best_epoch=None, error=error)


def curve(number, epochs=12):
    for e in range(1, epochs + 1):
        loss = 0.6 + number / 500 + 40 * math.exp(-2 * e)
        yield {"trial": number, "epoch": e, "train_loss": loss - e / 50, "valid_loss": loss, "valid_accuracy": None}


def held_out(rename=lambda name: name):
    generator = np.random.default_rng(0)
    source = np.repeat(list(SOURCES), list(SOURCES.values()))
    margins = generator.normal(0, 2, len(source))
    targets = (generator.random(len(source)) < 1 / (1 + np.exp(-margins))).astype(float)
    targets[::9], margins[1] = 0.5, 0.0
    accuracy = metrics.accuracy(margins, targets)._asdict()
    document = {
        "split": "test",
        "checkpoint": "more than the report needs",
        "accuracy": accuracy,
        "log_loss": {"value": 0.5871, "low": 0.57, "high": 0.6},
        "ece": {"value": 0.0339, "low": 0.02, "high": 0.05},
        "by_source": {
            rename(s): metrics.accuracy(margins[source == s], targets[source == s])._asdict() for s in SOURCES
        },
        "baselines": {rename("louder clip wins"): accuracy | {"value": 0.55, "p": 2e-9, "rule": rename("more energy")}},
        "chance": {"value": 0.5, "p": 0.0},
        "bins": [b._asdict() for b in metrics.reliability(margins, targets)],
        "skipped": {rename("no audio"): 3},
    }
    rows = zip(source.tolist(), targets.tolist(), margins.tolist(), strict=True)
    lines = [f"p{i},{s},{y:g},{m!r}\n" for i, (s, y, m) in enumerate(rows)]
    return document, "pair_id,source,target,margin\n" + "".join(lines)


def fill(run, trials, epochs=(), test=None, config=None):
    run.mkdir(parents=True, exist_ok=True)
    asked = {"seed": 42, "space": {}, "data": {"pool": ["a", 1]}}
    (run / "config.json").write_text(json.dumps(config or {"store": "/data/store", "asked": asked}))
    write_lines(run / "trials.jsonl", trials)
    write_lines(run / "epochs.jsonl", epochs)
    if test:
        (run / "test").mkdir(exist_ok=True)
        (run / "test/metrics.json").write_text(json.dumps(test[0]))
        (run / "test/predictions.csv").write_text(test[1])
    return run


def report(run):
    return Page(write_report(run).read_text(encoding="utf-8"))


def trials_of(name, values, losses=None):
    losses = losses or [0.6 + i / 1000 for i in range(len(values))]
    records = (trial(i, params={name: value}) for i, value in enumerate(values))
    return [Trial(**record | {"valid_loss": loss}) for record, loss in zip(records, losses, strict=True)]


def drawn(figure, monkeypatch):
    """The box of every text that drawing the figure draws, in pixels, with the text."""
    found = {}
    draw = Text.draw

    def record(self, renderer):
        if self.get_visible() and self.get_text().strip():
            found[self] = (self.get_window_extent(renderer), self)
        draw(self, renderer)

    monkeypatch.setattr(Text, "draw", record)
    figure.draw_without_rendering()
    return list(found.values())


def check_texts(figure, monkeypatch):
    """Every text of a picture is inside it, and none that is level lies on another."""
    boxes = drawn(figure, monkeypatch)
    assert len(boxes) >= 8
    for box, text in boxes:
        assert figure.bbox.x0 <= box.x0, text
        assert figure.bbox.y0 <= box.y0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    level = [(box, text) for box, text in boxes if text.get_rotation() in (0, 90)]
    for (first, a), (second, b) in itertools.combinations(level, 2):
        assert not first.overlaps(second), (a, b)
