"""A released head, or an ensemble of heads of one shape: a folder that describes itself.

    config.json         head, block layout, the encoders' provenance, training, metrics
    model.safetensors   arrays under the published PyTorch names (`state_dict.py`); those of an ensemble have a leading
                        member axis, and `head.members` of config.json says how many there are
    README.md           model card

Nothing in it is executed or unpickled. Everything is checked on loading; a checkpoint whose layout or encoders do
not fit the features it is given is refused, since its scores would be silently wrong.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tunejury_jax.blocks import Block, Layout
from tunejury_jax.documents import parse_object, read_bounded
from tunejury_jax.head import Head, Variables, evaluate_head
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.members import from_stacked_state, is_stacked, member_count, stack, take, to_stacked_state
from tunejury_jax.model_card import SCORING, model_card
from tunejury_jax.prediction import member_scores
from tunejury_jax.provenance import comparable
from tunejury_jax.state_dict import from_state_dict, to_state_dict
from tunejury_jax.store.plan import difference, fingerprint

__all__ = ["Checkpoint", "recover"]

FORMAT, VERSION = "tunejury-checkpoint", 1
MAX_CONFIG_BYTES = 4 << 20
MAX_WEIGHT_BYTES = 2 << 30


@dataclass(frozen=True)
class Checkpoint:
    """A head, or an ensemble of heads of one shape, with everything needed to use it.

    Attributes:
        head: Static shape.
        layout: Blocks of the input, in order.
        encoders: Block name -> provenance of the encoder that made the training features.
        variables: Weights and running statistics; those of an ensemble have a leading member axis.
        training: How it was trained: configuration, data, versions.
        metrics: What was measured, with intervals.
    """

    head: HeadConfig
    layout: Layout
    encoders: Mapping[str, Mapping[str, Any]]
    variables: Variables
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.layout.dim != self.head.input_dim:
            raise ValueError(f"layout: has {self.layout.dim} columns, the head reads {self.head.input_dim}")
        if sorted(self.encoders) != sorted(self.layout.names):
            raise ValueError(f"encoders: got {sorted(self.encoders)}, the layout has {sorted(self.layout.names)}")

    @property
    def members(self) -> int:
        """Number of heads; 1 of a checkpoint that is no ensemble."""
        return member_count(self.variables)

    @property
    def stacked(self) -> Variables:
        """The variables with a leading member axis, which has length 1 for a single head."""
        return self.variables if is_stacked(self.variables) else stack([self.variables])

    @property
    def single(self) -> Variables:
        """The variables of the only head, without a member axis."""
        if self.members > 1:
            raise ValueError(f"single: the checkpoint has {self.members} members")
        return take(self.variables, 0) if is_stacked(self.variables) else self.variables

    @property
    def sha256(self) -> str:
        """Identity of the head: a digest of its weights, layout and encoders, not of its metrics or model card."""
        config = self._config()
        identity = {key: config[key] for key in ("head", "layout", "encoders")}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode() + self._weights()).hexdigest()

    def score(self, x: Float[Array, "batch dim"]) -> Float[Array, " batch"]:
        """Scores joined features, by the mean of the members; pure: can be jitted, differentiated and vmapped."""
        head = Head(self.head.widths)
        if is_stacked(self.variables):
            return member_scores(head, self.variables, x).mean(axis=0)
        return evaluate_head(head, self.variables, x)

    def member(self, number: int) -> "Checkpoint":
        """One head of an ensemble by itself; a single head is its own member 0.

        It keeps the record of how the ensemble was trained, and not the metrics, which are the ensemble's.

        Raises:
            ValueError: There is no such member.
        """
        if not 0 <= number < self.members:
            raise ValueError(f"number: got {number}, accepted are 0 to {self.members - 1}")
        if not is_stacked(self.variables):
            return self
        return replace(self, variables=take(self.variables, number), metrics={})

    def require_encoders(self, encoders: Mapping[str, Mapping[str, Any]], origin: str) -> None:
        """Refuses features of other encoders than the head was trained on, as far as it is known (`provenance.py`).

        Args:
            encoders: Block name -> provenance of what made the features at hand; further blocks are ignored.
            origin: Where these come from, for the message.

        Raises:
            ValueError: Lists every field that differs.
        """
        for name, trained_on in self.encoders.items():
            if name not in encoders:
                raise ValueError(
                    f"{origin}: has no block {name!r}, which the checkpoint needs; it has {sorted(encoders)}"
                )
            if lines := difference(comparable(encoders[name], trained_on), trained_on):
                raise ValueError(
                    f"{origin}: block {name!r} was made otherwise than the checkpoint's: {'; '.join(lines)}"
                )

    def save(self, folder: Path) -> None:
        """Writes the folder; one that stands there is replaced as a whole, never half (see `recover`)."""
        self.save_as(folder, SCORING, lambda partial: (partial / "model.safetensors").write_bytes(self._weights()))

    def save_as(self, folder: Path, use: Iterable[str], write_arrays: Callable[[Path], object]) -> None:
        """Writes the folder with its arrays in another form, which `load` does not read.

        Args:
            folder: Replaced as a whole, as by `save`.
            use: Lines of the model card that say how it is used.
            write_arrays: Is given an existing folder to write them to.
        """
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "config.json").write_text(json.dumps(self._config(), indent=2) + "\n")
        write_arrays(partial)
        (partial / "README.md").write_text(model_card(self._config(), use))
        _replace(partial, folder)

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Reads and checks a checkpoint folder.

        Raises:
            ValueError: Not a checkpoint, of another version, damaged, or holding what it should not.
        """
        config = _read_config(folder / "config.json")
        try:
            layout = Layout(tuple(Block(b["name"], b["dim"], b["table"]) for b in config["layout"]))
            head = HeadConfig(layout.dim, tuple(config["head"]["widths"]))
            members = _member_axis(config["head"])
            encoders = {name: _provenance(name, e) for name, e in config["encoders"].items()}
            training, metrics = dict(config["training"]), dict(config["metrics"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder}/config.json: a field is missing or of the wrong kind: {error!r}") from error
        variables = _read_weights(folder / "model.safetensors", head, members)
        return cls(head, layout, encoders, variables, training, metrics)

    def _weights(self) -> bytes:
        return save(to_stacked_state(self.variables) if is_stacked(self.variables) else to_state_dict(self.variables))

    def _config(self) -> dict[str, Any]:
        members = {"members": self.members} if is_stacked(self.variables) else {}
        encoders = {n: {"fingerprint": fingerprint(p), "provenance": dict(p)} for n, p in self.encoders.items()}
        return {
            "format": FORMAT,
            "version": VERSION,
            "head": {"widths": list(self.head.widths), **members},
            "layout": [{"name": b.name, "dim": b.dim, "table": b.table} for b in self.layout.blocks],
            "encoders": encoders,
            "training": dict(self.training),
            "metrics": dict(self.metrics),
        }


def recover(folder: Path) -> None:
    """Puts the old checkpoint back where a `save` over it was killed between moving it away and moving the new one in.

    For whoever writes the folder: a reader would take it from under a `save` that is still running.
    """
    if _old(folder).exists() and not folder.exists():
        os.replace(_old(folder), folder)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _replace(partial: Path, folder: Path) -> None:
    recover(folder)
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def _bounded(path: Path, max_bytes: int) -> bytes:
    if not path.is_file():
        raise ValueError(f"{path}: missing; expected a checkpoint folder with config.json and model.safetensors")
    return read_bounded(path, max_bytes)


def _read_config(path: Path) -> dict[str, Any]:
    config = parse_object(_bounded(path, MAX_CONFIG_BYTES), str(path), MAX_CONFIG_BYTES)
    if config.get("format") != FORMAT:
        raise ValueError(f"{path}: not a {FORMAT}")
    if config.get("version") != VERSION:
        raise ValueError(f"{path}: version is {config.get('version')!r}, accepted is {VERSION}")
    return config


def _provenance(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    provenance = dict(document["provenance"])
    if fingerprint(provenance) != document["fingerprint"]:
        raise ValueError(f"encoders.{name}.provenance: was edited, its fingerprint is not {document['fingerprint']!r}")
    return provenance


def _member_axis(head: Mapping[str, Any]) -> int | None:
    """Length of the arrays' member axis; None where the arrays are those of a single head."""
    members = head.get("members")
    if members is not None and (type(members) is not int or members < 1):
        raise ValueError(f"head.members: got {members!r}, accepted are whole numbers from 1, or none for a single head")
    return members


def _read_weights(path: Path, head: HeadConfig, members: int | None) -> Variables:
    try:
        state = {name: _float32(array) for name, array in load(_bounded(path, MAX_WEIGHT_BYTES)).items()}
        return from_state_dict(state, head) if members is None else from_stacked_state(state, head, members)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _float32(array: np.ndarray) -> np.ndarray:
    """Before values are checked: a float64 may be finite and its float32 not. Other types are left to be refused."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array
