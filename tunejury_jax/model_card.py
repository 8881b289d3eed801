"""The README.md of a checkpoint: what the head is, what it was trained on, what was measured, who may use it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tunejury_jax.provenance import is_assumed

__all__ = ["SCORING", "licence_class", "model_card", "on_the_hub"]

SCORING = ("```", 'tunejury score my_song.wav --checkpoint THIS_FOLDER --prompt "calm piano"', "```")
"""How the card of a checkpoint folder says it is used."""

LICENCES = {
    "clap_audio": "CC0-1.0",
    "clap_text": "CC0-1.0, tokenizer MIT",
    "mert": "CC-BY-NC-4.0",
    "muq_audio": "CC-BY-NC-4.0",
    "muq_text": "CC-BY-NC-4.0",
    "mel_baseline": "Apache-2.0, no weights",
    "ngram_baseline": "Apache-2.0, no weights",
}
"""Of the weights that fill a block."""
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
    sections = (_header(config), _heading(config), ("## Use", "", *use), *ensemble, *facts)
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def on_the_hub(name: str) -> tuple[str, ...]:
    """How the card of a checkpoint on the Hugging Face hub says it is used."""
    return (
        "```python",
        "from tunejury_jax import Scorer",
        "",
        f'scorer = Scorer.from_pretrained("{name}")  # prints the commit; pin it with revision="..."',
        'print(scorer.score("my_song.wav", prompt="calm piano"))',
        "```",
    )


def licence_class(blocks: Iterable[str]) -> str:
    """Whether the encoders of a head forbid commercial use, in words."""
    if bound := sorted({NON_COMMERCIAL[name] for name in blocks if name in NON_COMMERCIAL}):
        return f"Non-commercial: scoring needs {' and '.join(bound)}"
    return "No encoder of this head is bound to non-commercial use"


def _header(config: Mapping[str, Any]) -> Iterator[str]:
    """What the hub reads: where an encoder forbids commercial use, the head is found under the encoder's licence."""
    bound = any(block["name"] in NON_COMMERCIAL for block in config["layout"])
    yield "---"
    yield from ("license: cc-by-nc-4.0",) if bound else ("license: other", "license_name: see-licence-below")
    yield "library_name: tunejury-jax"
    yield "tags: [music, reward-model, preference]"
    yield "---"


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
    yield "| block | columns | read by | revision | fingerprint | licence |"
    yield "|---|---|---|---|---|---|"
    for block in config["layout"]:
        encoder = config["encoders"][block["name"]]
        revision = encoder["provenance"].get("revision", "")
        licence = LICENCES.get(block["name"], "not known")
        facts = (block["name"], block["dim"], block["table"], revision, encoder["fingerprint"], licence)
        yield f"| {' | '.join(map(str, facts))} |"
    if any(is_assumed(encoder["provenance"]) for encoder in config["encoders"].values()):
        yield ""
        yield "**Imported from a file that does not say what made its features. The encoders and their signal path are"
        yield "assumed; if they were others, scores are off.**"


def _training(config: Mapping[str, Any]) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield f"Hidden layers {'-'.join(map(str, config['head']['widths']))}."
    yield from _mix(config["training"])
    yield ""
    yield "```json"
    yield json.dumps(config["training"], indent=2)
    yield "```"


def _mix(training: Mapping[str, Any]) -> Iterator[str]:
    """Which pairs it was trained on, as far as the record says."""
    store, data, pairs = (_object(training.get(name)) for name in ("store", "data", "pairs"))
    left_out, zeroed = data.get("leave_out") or (), data.get("zero_prompt_sources") or ()
    if sources := [name for name in store.get("sources") or () if name not in left_out]:
        yield f"Pairs of {', '.join(sources)}."
    if left_out:
        yield f"Left out of training: {', '.join(left_out)}."
    if zeroed:
        yield f"Trained without prompts: {', '.join(zeroed)}."
    if pairs:
        yield f"Pairs: {', '.join(f'{count} {split}' for split, count in pairs.items())}."
    yield from _sources(_object(training.get("pairs_by_source")))


def _sources(recorded: Mapping[str, Any]) -> Iterator[str]:
    """Pairs of each source and split."""
    splits = {split: _object(sources) for split, sources in recorded.items()}
    if names := dict.fromkeys(name for sources in splits.values() for name in sources):
        yield "Of each source, in brackets those with a winner:"
        yield ""
        yield f"| source | {' | '.join(splits)} |"
        yield f"|---{'|---' * len(splits)}|"
        for name in names:
            counts = (_object(sources.get(name)) for sources in splits.values())
            cells = (f"{count.get('pairs', 0)} ({count.get('decisive', 0)})" for count in counts)
            yield f"| {name} | {' | '.join(cells)} |"


def _object(value: Any) -> Mapping[str, Any]:
    """What a record has, empty where it is of another kind: the card is also made of checkpoints of others."""
    return value if isinstance(value, Mapping) else {}


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
    blocks = [block["name"] for block in config["layout"]]
    further = " further" if NON_COMMERCIAL.keys() & blocks else ""
    yield "## Licence"
    yield ""
    yield f"{licence_class(blocks)}. The labels it was trained on may bind it{further}."
