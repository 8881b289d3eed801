"""The README.md of a checkpoint: what the head is, what it was trained on, what was measured, who may use it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tunejury_jax.provenance import is_assumed

__all__ = ["SCORING", "model_card"]

SCORING = ("```", 'tunejury score my_song.wav --checkpoint THIS_FOLDER --prompt "calm piano"', "```")
"""How the card of a checkpoint folder says it is used."""

NON_COMMERCIAL = {
    "mert": "MERT (CC-BY-NC-4.0)",
    "muq_audio": "MuQ-MuLan (CC-BY-NC-4.0)",
    "muq_text": "MuQ-MuLan (CC-BY-NC-4.0)",
}
BASELINES = ("mel_baseline", "ngram_baseline")


def model_card(config: Mapping[str, Any], use: Iterable[str] = SCORING) -> str:
    """Writes the model card of a checkpoint from its `config.json`, with these lines on how to use it."""
    ensemble = [_ensemble(config)] if "members" in config["head"] else []
    facts = (_inputs(config), _training(config), _metrics(config), _licence(config))
    sections = (_heading(config), ("## Use", "", *use), *ensemble, *facts)
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _heading(config: Mapping[str, Any]) -> Iterator[str]:
    yield "# TuneJury-JAX reward head"
    yield ""
    yield "A pairwise music-preference reward: of two clips, the one with the higher score is the one it expects a"
    yield "listener to prefer. P(A preferred) = sigmoid(score(A) - score(B)). A score alone has no unit and no zero;"
    yield "negative is normal."
    if any(block["name"] in BASELINES for block in config["layout"]):
        yield ""
        yield "**This head reads weights-free baseline features. It is for tests and as a floor to compare with,"
        yield "not a TuneJury model.**"


def _ensemble(config: Mapping[str, Any]) -> Iterator[str]:
    yield "## Ensemble"
    yield ""
    yield f"An ensemble of {config['head']['members']} heads of one shape; the score is the mean of theirs. The offset"
    yield "of a head's score is arbitrary, so each output bias was shifted until all heads had the same mean score over"
    yield "the validation clips, which changes no margin. The standard deviation over the heads (`std`) is then their"
    yield "disagreement; `--conservative K` scores mean - K std."
    yield ""
    yield "The standard deviation is the disagreement of heads that were trained on the same data, not the full"
    yield "uncertainty of the score: where all of them are wrong alike, it is small."


def _inputs(config: Mapping[str, Any]) -> Iterator[str]:
    yield "## Inputs"
    yield ""
    yield "| block | columns | read by | revision | fingerprint |"
    yield "|---|---|---|---|---|"
    for block in config["layout"]:
        encoder = config["encoders"][block["name"]]
        revision = encoder["provenance"].get("revision", "")
        yield f"| {block['name']} | {block['dim']} | {block['table']} | {revision} | {encoder['fingerprint']} |"
    if any(is_assumed(encoder["provenance"]) for encoder in config["encoders"].values()):
        yield ""
        yield "**Imported from a file that does not say what made its features. The encoders and their signal path are"
        yield "assumed; if they were others, scores are off.**"


def _training(config: Mapping[str, Any]) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield f"Hidden layers {'-'.join(map(str, config['head']['widths']))}."
    yield ""
    yield "```json"
    yield json.dumps(config["training"], indent=2)
    yield "```"


def _metrics(config: Mapping[str, Any]) -> Iterator[str]:
    yield "## Measured"
    yield ""
    rows = [(name, value) for name, value in config["metrics"].items() if isinstance(value, Mapping) and "low" in value]
    if not rows:
        yield "Nothing on held-out pairs."
        return
    yield "| metric | value | 95 % interval |"
    yield "|---|---|---|"
    for name, value in rows:
        yield f"| {name} | {value['value']:.4f} | {value['low']:.4f} to {value['high']:.4f} |"


def _licence(config: Mapping[str, Any]) -> Iterator[str]:
    bound = sorted({NON_COMMERCIAL[b["name"]] for b in config["layout"] if b["name"] in NON_COMMERCIAL})
    yield "## Licence"
    yield ""
    if bound:
        yield f"Non-commercial: scoring needs {' and '.join(bound)}. The labels it was trained on may bind it further."
    else:
        yield "No encoder of this head is bound to non-commercial use. The labels it was trained on may bind it."
