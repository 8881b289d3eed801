"""Checkpoint folders: written and read unchanged, replaced whole, and refused when they are not what they say."""

import copy
import dataclasses
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from closeness import assert_close
from random_ensembles import random_ensemble, random_members
from random_heads import random_checkpoint, random_state
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tunejury_jax import checkpoint as module
from tunejury_jax.blocks import Block, Layout
from tunejury_jax.checkpoint import Checkpoint, recover
from tunejury_jax.ensemble import ensemble
from tunejury_jax.head_config import HeadConfig
from tunejury_jax.state_dict import to_state_dict

FACTS = {"training": {"config": {"seed": 1}}, "metrics": {"valid_loss": 0.5}}
FIELDS = ("head", "layout", "encoders", "training", "metrics")
FILES = ("README.md", "config.json", "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    random_checkpoint(**FACTS).save(tmp_path / "head")
    return tmp_path / "head"


@pytest.fixture
def ensemble_folder(tmp_path):
    random_ensemble(3).save(tmp_path / "ensemble")
    return tmp_path / "ensemble"


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def refused(folder, message):
    with pytest.raises(ValueError, match=message):
        Checkpoint.load(folder)


def test_load_is_the_inverse_of_save_bit_by_bit(folder):
    saved, loaded = random_checkpoint(**FACTS), Checkpoint.load(folder)
    for field in ("head", "layout", "encoders", "training", "metrics", "sha256"):
        assert getattr(loaded, field) == getattr(saved, field)
    assert jax.tree.structure(loaded.variables) == jax.tree.structure(saved.variables)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, saved.variables)


def test_a_loaded_head_scores_as_the_oracle(folder):
    x = np.random.default_rng(0).standard_normal((9, 12)).astype(np.float32)
    expected = reference.evaluate(random_state(HeadConfig(12, (6, 4))), x)
    assert_close(Checkpoint.load(folder).score(jnp.asarray(x)), expected)


def test_the_same_checkpoint_is_the_same_bytes(folder, tmp_path):
    Checkpoint.load(folder).save(tmp_path / "again")
    assert sorted(path.name for path in folder.iterdir()) == list(FILES)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_an_older_one_is_replaced_whole_and_nothing_is_left_beside_it(folder):
    (folder / "stray.txt").write_text("of the older one")
    newer = random_checkpoint(seed=1)
    newer.save(folder)
    assert Checkpoint.load(folder).sha256 == newer.sha256
    assert sorted(path.name for path in folder.iterdir()) == list(FILES)
    assert list(folder.parent.iterdir()) == [folder]


class Killed(BaseException):
    """Stands for a kill: no handler of the code under test may see it."""


def die(*args):
    raise Killed


def test_a_save_killed_while_writing_leaves_the_older_one(folder, monkeypatch):
    monkeypatch.setattr(module, "model_card", die)
    with pytest.raises(Killed):
        random_checkpoint(seed=1).save(folder)
    assert Checkpoint.load(folder).sha256 == random_checkpoint().sha256


@pytest.mark.parametrize(("moves", "survivor"), [(0, 0), (1, 0), (2, 1)])
def test_a_save_killed_between_its_moves_loses_no_checkpoint(folder, monkeypatch, moves, survivor):
    done = []

    def move(source, target):
        if len(done) == moves:
            raise Killed
        done.append(os.rename(source, target))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", move)
        patch.setattr(module.shutil, "rmtree", lambda *a, **k: die() if len(done) == 2 else None)
        with pytest.raises(Killed):
            random_checkpoint(seed=1).save(folder)
    recover(folder)
    assert Checkpoint.load(folder).sha256 == random_checkpoint(seed=survivor).sha256
    random_checkpoint(seed=2).save(folder)
    assert Checkpoint.load(folder).sha256 == random_checkpoint(seed=2).sha256
    assert list(folder.parent.iterdir()) == [folder]


def test_there_may_be_nothing_to_recover(tmp_path, folder):
    recover(tmp_path / "none")
    recover(folder)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, rf"{name}: missing; expected a checkpoint folder with config.json and model.safetensors")


def test_a_folder_that_is_not_there(tmp_path):
    refused(tmp_path / "none", "none/config.json: missing; expected a checkpoint folder")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=2), "config.json: version is 2, accepted is 1"),
        (lambda c: c.pop("version"), "config.json: version is None, accepted is 1"),
        (lambda c: c.update(format="tunejury-feature-store"), "config.json: not a tunejury-checkpoint"),
        (lambda c: c["encoders"]["toy"]["provenance"].update(revision="2"), "encoders.toy.provenance: was edited"),
        (lambda c: c["encoders"]["toy"].update(fingerprint="0" * 16), "its fingerprint is not '0{16}'"),
        (lambda c: c["head"].update(widths=[6, 5]), r"model.safetensors: net.\d.\w+: got shape .*, expected"),
        (lambda c: c["head"].update(widths=[6]), r"model.safetensors: state dict: .* not arrays of a head with .*\(6,"),
        (lambda c: c["head"].update(widths=[6, 4, 2]), r"model.safetensors: state dict: .* missing, expected 20"),
        (lambda c: c["head"].update(widths=[]), "widths: got .*, accepted are 1 to 32"),
        (lambda c: c["head"].update(widths=[10**9, 4]), "widths: got .*, accepted are 1 to 32 of 1 to 65536"),
        (lambda c: c["layout"].reverse(), "blocks: not in canonical order"),
        (lambda c: c["layout"].pop(), r"net.0.weight: got shape \(6, 12\), expected \(6, 8\)"),
        (lambda c: c["layout"].clear(), "blocks: a layout needs at least one block"),
        (lambda c: c["layout"][0].update(dim=9), r"net.0.weight: got shape \(6, 12\), expected \(6, 13\)"),
        (lambda c: c["layout"][0].update(dim=-8), "dim: block 'toy' needs at least one column, got -8"),
        (lambda c: c["layout"][0].update(table="cilp"), "table: got 'cilp', accepted are 'clip', 'prompt'"),
        (lambda c: c["layout"][0].update(name="toys"), "encoders: got .*'toy', 'words'.*, the layout has .*'toys'"),
        (lambda c: c["layout"][0].update(name=c["layout"][1]["name"]), "blocks: each block may occur once"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, untyped, change, message):
    edit(folder, change)
    refused(folder, message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in FIELDS for value in (None, 3, [3])),
        ("head", {"widths": 3}),
        ("head", {"widths": "64"}),
        ("head", {"widths": [[6], [4]]}),
        ("layout", [{"name": ["toy"], "dim": 8, "table": "clip"}]),
        ("layout", [{"name": "toy", "dim": "8", "table": "clip"}]),
        ("layout", [{"name": "toy", "dim": 8, "table": "clip"}, {"name": 5, "dim": 4, "table": "clip"}]),
        ("encoders", {"toy": None}),
        ("encoders", {"toy": {"provenance": 3, "fingerprint": ""}}),
    ],
    ids=str,
)
def test_a_field_of_the_wrong_kind_is_refused(folder, untyped, field, value):
    edit(folder, lambda config: config.update({field: value}))
    refused(folder, "config.json: a field is missing or of the wrong kind: ")


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_missing_is_named(folder, field):
    edit(folder, lambda config: config.pop(field))
    refused(folder, f"config.json: a field is missing or of the wrong kind: KeyError.*{field}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "config.json: not JSON"),
        (b"\xff\xfe{", "config.json: not JSON"),
        (b'{"format": ', "config.json: not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "config.json: not JSON: maximum recursion depth"),
        (b"[]", "config.json: expected a JSON object, got list"),
        (b"null", "config.json: expected a JSON object, got NoneType"),
    ],
    ids=["empty", "utf-16", "cut off", "deep", "list", "null"],
)
def test_a_config_that_is_no_json_object_is_refused(folder, content, message):
    (folder / "config.json").write_bytes(content)
    refused(folder, message)


@pytest.mark.parametrize(("name", "limit"), [("config.json", 4 << 20), ("model.safetensors", 2 << 30)])
def test_an_oversized_file_is_refused_unread(folder, name, limit):
    os.truncate(folder / name, limit + 1)  # sparse: takes no room
    refused(folder, rf"{name}: {limit + 1} bytes, accepted are at most {limit}")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, "model.safetensors: ")


def test_weights_that_are_not_finite_are_refused(folder):
    state = to_state_dict(random_checkpoint().variables)
    state["net.4.weight"] = state["net.4.weight"] * np.float32("nan")
    save_file(state, folder / "model.safetensors")
    refused(folder, "model.safetensors: net.4.weight: holds values that are not finite")


def test_weights_of_another_float_type_become_float32(folder):
    state = {name: values.astype(np.float16) for name, values in to_state_dict(random_checkpoint().variables).items()}
    save_file(state, folder / "model.safetensors")
    loaded = to_state_dict(Checkpoint.load(folder).variables)
    assert {values.dtype for values in loaded.values()} == {np.dtype(np.float32)}
    for name in state:
        np.testing.assert_array_equal(loaded[name], state[name].astype(np.float32))


def test_weights_that_only_float64_can_hold_are_refused(folder):
    state = {name: values.astype(np.float64) for name, values in to_state_dict(random_checkpoint().variables).items()}
    state["net.4.weight"][0, 0] = 1e60
    save_file(state, folder / "model.safetensors")
    refused(folder, "model.safetensors: net.4.weight: holds values that are not finite")


def test_identity_is_weights_layout_and_encoders_and_nothing_else():
    checkpoint = random_checkpoint(**FACTS)
    same = dataclasses.replace(checkpoint, metrics={"valid_loss": 9.0}, training={})
    assert same.sha256 == checkpoint.sha256
    layout = Layout.of([Block("toys", 8, "clip"), Block("words", 4, "prompt")])
    encoders = {"toys": checkpoint.encoders["toy"], "words": checkpoint.encoders["words"]}
    others = [
        random_checkpoint(seed=1),
        random_checkpoint(encoders={"toy": {"encoder": "toy", "revision": "2"}, "words": checkpoint.encoders["words"]}),
        dataclasses.replace(checkpoint, layout=layout, encoders=encoders),
        nudged(checkpoint),
    ]
    assert len({checkpoint.sha256, *(other.sha256 for other in others)}) == 1 + len(others)


def nudged(checkpoint):
    """One running mean off by one bit."""
    variables = jax.tree.map(np.array, checkpoint.variables)
    mean = variables["batch_stats"]["norm_1"]["mean"]
    mean[0] = np.nextafter(mean[0], np.float32(9))
    return dataclasses.replace(checkpoint, variables=jax.tree.map(jnp.asarray, variables))


def test_a_layout_of_another_width_than_the_head_is_refused():
    with pytest.raises(ValueError, match="layout: has 12 columns, the head reads 13"):
        dataclasses.replace(random_checkpoint(), head=HeadConfig(13, (6, 4)))


def test_every_block_needs_its_encoder():
    with pytest.raises(ValueError, match=r"encoders: got \['toy'\], the layout has \['toy', 'words'\]"):
        random_checkpoint(encoders={"toy": {}})


def test_the_same_encoders_are_accepted_and_further_ones_ignored():
    checkpoint = random_checkpoint()
    checkpoint.require_encoders(copy.deepcopy(dict(checkpoint.encoders)) | {"signal": {}}, "here")


def test_other_encoders_are_refused_with_every_difference():
    checkpoint = random_checkpoint(encoders={"toy": {"a": 1, "path": {"crop": "first"}}, "words": {}})
    found = {"toy": {"a": 2, "path": {"crop": "middle"}}, "words": {}}
    message = r"store: block 'toy' was made otherwise than the checkpoint's: a: 2, not 1; path.crop: 'middle', not"
    with pytest.raises(ValueError, match=message):
        checkpoint.require_encoders(found, "store")


def test_missing_encoders_are_named():
    message = r"store: has no block 'words', which the checkpoint needs; it has \['toy'\]"
    with pytest.raises(ValueError, match=message):
        random_checkpoint().require_encoders({"toy": random_checkpoint().encoders["toy"]}, "store")


def test_an_ensemble_is_read_as_it_was_saved_bit_by_bit(ensemble_folder, tmp_path):
    saved, loaded = random_ensemble(3), Checkpoint.load(ensemble_folder)
    for field in ("head", "layout", "encoders", "training", "metrics", "sha256", "members"):
        assert getattr(loaded, field) == getattr(saved, field)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, saved.variables)
    loaded.save(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (ensemble_folder / name).read_bytes()


def test_an_ensemble_on_disk_has_the_names_of_a_head_and_can_be_read_member_by_member(ensemble_folder):
    assert json.loads((ensemble_folder / "config.json").read_text())["head"] == {"widths": [6, 4], "members": 3}
    combined = random_ensemble(3)
    assert load_file(ensemble_folder / "model.safetensors").keys() == random_state(combined.head).keys()
    with safe_open(ensemble_folder / "model.safetensors", "np") as file:
        for number in range(3):
            for name, values in to_state_dict(combined.member(number).variables).items():
                np.testing.assert_array_equal(file.get_slice(name)[number], values)


def test_an_ensemble_of_one_by_its_arrays_scores_as_the_head(tmp_path):
    (head,) = random_members(1)
    dataclasses.replace(head, variables=head.stacked).save(tmp_path / "one")
    loaded, x = Checkpoint.load(tmp_path / "one"), jnp.asarray(np.random.default_rng(0).standard_normal((9, 12)), "f4")
    assert loaded.members == 1
    assert loaded.member(0).sha256 == head.sha256
    assert_close(jax.jit(loaded.score)(x), jax.jit(head.score)(x))


@pytest.mark.parametrize("member", range(3))
def test_a_change_of_any_member_changes_the_identity(member):
    heads = random_members(3)
    heads[member] = dataclasses.replace(nudged(heads[member]), metrics=heads[member].metrics)
    assert ensemble(heads).sha256 != random_ensemble(3).sha256


@pytest.mark.parametrize("members", [2, 4])
def test_an_ensemble_of_another_number_than_it_says_is_refused(ensemble_folder, members):
    edit(ensemble_folder, lambda config: config["head"].update(members=members))
    refused(
        ensemble_folder, rf"safetensors: net.* got shape \(3, .*\), expected {members} members along its first axis"
    )


@pytest.mark.parametrize("members", [0, -1, 3.0, True, "3", [3]])
def test_a_number_of_members_of_the_wrong_kind_is_refused(ensemble_folder, members):
    edit(ensemble_folder, lambda config: config["head"].update(members=members))
    refused(ensemble_folder, r"head\.members: got .*, accepted are whole numbers from 1, or none for a single head")


def test_an_ensemble_is_not_read_as_a_head(ensemble_folder):
    edit(ensemble_folder, lambda config: config["head"].pop("members"))
    refused(ensemble_folder, r"model\.safetensors: net.* got shape \(3, .*\), expected \(")


def test_a_head_is_not_read_as_an_ensemble(folder):
    edit(folder, lambda config: config["head"].update(members=3))
    refused(folder, r"model\.safetensors: net.* expected 3 members along its first axis")


SPOILED = {
    "a value that is not finite": (
        lambda state: state["net.4.weight"][1].fill(np.nan),
        r"member 1: net\.4\.weight: holds values that are not finite",
    ),
    "a negative variance": (
        lambda state: state["net.1.running_var"][2].fill(-1.0),
        r"member 2: net\.1\.running_var: holds a negative variance",
    ),
    "a missing array": (lambda state: state.pop("net.5.bias"), r"state dict: \['net\.5\.bias'\] missing, expected 14"),
    "an array too many": (lambda state: state.update(extra=np.zeros((3, 2), "f4")), r"\['extra'\] are not arrays of a"),
    "another shape": (
        lambda state: state.update({"net.8.bias": np.zeros((3, 2), "f4")}),
        r"member 0: net\.8\.bias: got shape \(2,\), expected \(1,\)",
    ),
    "whole numbers": (
        lambda state: state.update({"net.8.bias": np.zeros((3, 1), "i4")}),
        r"member 0: net\.8\.bias: got int32, expected a floating type",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.values(), ids=SPOILED)
def test_a_spoiled_ensemble_is_refused(ensemble_folder, spoil, message):
    state = load_file(ensemble_folder / "model.safetensors")
    spoil(state)
    save_file(state, ensemble_folder / "model.safetensors")
    refused(ensemble_folder, f"model.safetensors: .*{message}")


def test_the_card_of_an_ensemble_says_how_it_scores_and_what_its_deviation_is_not(ensemble_folder, folder):
    card = " ".join((ensemble_folder / "README.md").read_text().split())
    for said in (
        "An ensemble of 3 heads of one shape; the score is the mean of theirs.",
        "each output bias was shifted until all heads had the same mean score over the validation clips",
        "`--conservative K` scores mean - K std",
        "the disagreement of heads that were trained on the same data, not the full uncertainty",
    ):
        assert said in card
    assert "nsemble" not in (folder / "README.md").read_text()


CARDS = {("mert", "clap_text"): "MERT", ("muq_audio", "muq_text"): "MuQ-MuLan"}


@pytest.mark.parametrize("blocks", CARDS)
def test_the_card_says_when_a_head_may_not_be_sold(tmp_path, blocks):
    random_checkpoint(blocks=blocks).save(tmp_path / "head")
    card = (tmp_path / "head" / "README.md").read_text()
    assert f"Non-commercial: scoring needs {CARDS[blocks]} (CC-BY-NC-4.0). The labels" in card
    assert "baseline" not in card


@pytest.mark.parametrize("blocks", [("mel_baseline",), ("clap_audio", "ngram_baseline")])
def test_the_card_says_when_a_head_is_only_a_baseline(tmp_path, blocks):
    random_checkpoint(blocks=blocks).save(tmp_path / "head")
    card = (tmp_path / "head" / "README.md").read_text()
    assert "not a TuneJury model" in card
    assert "Non-commercial" not in card


def test_the_card_tells_inputs_training_and_what_was_measured(tmp_path):
    metrics = {"valid_loss": 0.5, "test_accuracy": {"value": 0.75, "low": 0.7, "high": 0.8, "n_decisive": 9}}
    random_checkpoint(training={"best_epoch": 77}, metrics=metrics).save(tmp_path / "head")
    card = (tmp_path / "head" / "README.md").read_text()
    assert "| test_accuracy | 0.7500 | 0.7000 to 0.8000 |" in card
    assert "Hidden layers 6-4." in card
    assert '"best_epoch": 77' in card
    encoder = json.loads((tmp_path / "head" / "config.json").read_text())["encoders"]["toy"]
    assert f"| toy | 8 | clip | 1 | {encoder['fingerprint']} |" in card


def test_the_card_says_when_nothing_was_measured(folder):
    assert "Nothing on held-out pairs." in (folder / "README.md").read_text()
