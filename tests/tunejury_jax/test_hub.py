"""Checkpoints to and from a stand-in hub: what is fetched, checked, printed, and said when it cannot be had."""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hub_stand_in import HubStandIn, Shelf, serving
from huggingface_hub import close_session, constants
from random_ensembles import random_ensemble
from random_heads import random_checkpoint

from tunejury_jax import hub
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.cli import main
from tunejury_jax.hub import push, resolve
from tunejury_jax.scorer import Scorer

# The hub's client streams uploads in a way that its own HTTP library would rather have otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

NAME, COMMIT = "someone/head", "c" * 40
FACTS = {
    "training": {
        "store": {"sources": ["Alpha", "Beta", "Gamma"]},
        "data": {"leave_out": ["Beta"], "zero_prompt_sources": ["Gamma"]},
        "pairs": {"train": 1234, "valid": 56},
        "pairs_by_source": {
            "train": {"Alpha": {"pairs": 1000, "decisive": 900}, "Gamma": {"pairs": 234, "decisive": 200}},
            "valid": {"Alpha": {"pairs": 56, "decisive": 50}},
        },
    },
    "metrics": {"test_accuracy": {"value": 0.75, "low": 0.7, "high": 0.8}},
}


def checkpoint(**facts: object) -> Checkpoint:
    """A head whose weights are large enough for the hub's other host."""
    return random_checkpoint(widths=(96, 32), **facts)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "head"
    checkpoint(**FACTS).save(folder)
    return folder


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield
    close_session()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    with serving(HubStandIn()) as standing:
        monkeypatch.setenv("HF_ENDPOINT", standing.url)
        yield standing


@pytest.fixture
def published(stand_in: HubStandIn, saved: Path) -> HubStandIn:
    files = {path.name: path.read_bytes() for path in saved.iterdir()} | {"evil.py": b"raise", "weights.pt": b"pickle"}
    stand_in.shelves[NAME] = Shelf(COMMIT, files)
    return stand_in


def cache(folder: Path, saved: Path, reference: str | None = "main", commit: str = COMMIT) -> Path:
    """A cache of the hub's client, made by hand; returns the snapshot."""
    storage = folder / "cache" / "models--someone--head"
    snapshot = storage / "snapshots" / commit
    shutil.copytree(saved, snapshot)
    if reference:
        (storage / "refs").mkdir()
        (storage / "refs" / reference).write_text(commit)
    return snapshot


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def fetched(standing: HubStandIn) -> set[str]:
    return {path.rpartition("/")[2] for method, path, _ in standing.asked if method == "GET" and "/resolve/" in path}


def test_a_folder_is_itself(saved: Path) -> None:
    assert resolve(saved) == saved
    with pytest.raises(ValueError, match=r"revision: got 'main', but .*head is a folder, which has none"):
        resolve(saved, "main")


def test_a_folder_is_taken_before_a_repository_of_its_name(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / NAME)
    assert resolve(NAME) == Path(NAME)


@pytest.mark.parametrize("name", ["", "none", "a/b/c", "../head", "/nowhere/head", "-x/head", "a/b c", "https://a/b"])
def test_what_is_neither_a_folder_nor_an_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"config\.json: missing; expected a checkpoint folder .* or owner/name"):
        resolve(name or "/none")


def test_only_the_three_files_are_fetched(published: HubStandIn, saved: Path) -> None:
    folder = resolve(NAME)
    assert folder.name == COMMIT
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert fetched(published) <= {"README.md", "config.json", "model.safetensors"}
    resolved = [path for _, path, _ in published.asked if "/resolve/" in path]
    assert all(path.startswith(f"/{NAME}/resolve/{COMMIT}/") for path in resolved)  # of the commit that was checked
    assert Checkpoint.load(folder).sha256 == Checkpoint.load(saved).sha256
    assert set(published.tokens) == {"Bearer secret"}
    assert set(published.blob_tokens) == {None}


def test_a_scorer_of_a_folder_or_of_the_hub(published: HubStandIn, saved: Path) -> None:
    x = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    expected = Scorer.from_checkpoint(saved).score_features(x)
    for scorer in (Scorer.from_pretrained(saved), Scorer.from_pretrained(NAME, revision=COMMIT)):
        np.testing.assert_array_equal(scorer.score_features(x), expected)


def test_the_commit_the_licence_and_how_to_pin_it_are_printed(
    published: HubStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    resolve(NAME)
    said = capsys.readouterr().err
    assert f"{NAME}: commit {COMMIT}; licence other; No encoder of this head is bound to non-commercial use" in said
    assert f"to get this one again: revision {COMMIT}" in said
    resolve(NAME, COMMIT)
    assert "again" not in capsys.readouterr().err


def test_the_class_of_a_bound_head_and_a_card_that_states_nothing(
    stand_in: HubStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random_checkpoint(blocks=("mert", "clap_text")).save(tmp_path / "bound")
    files = {path.name: path.read_bytes() for path in (tmp_path / "bound").iterdir()}
    stand_in.shelves[NAME] = Shelf(COMMIT, files)
    resolve(NAME)
    said = capsys.readouterr().err
    assert "licence cc-by-nc-4.0; Non-commercial: scoring needs MERT (CC-BY-NC-4.0)" in said
    stand_in.shelves[NAME] = Shelf("d" * 40, {name: data for name, data in files.items() if name != "README.md"})
    resolve(NAME)
    assert "licence not stated; Non-commercial" in capsys.readouterr().err


def test_a_pinned_commit_is_asked_for_once(published: HubStandIn) -> None:
    folder = resolve(NAME, COMMIT)
    asked = len(published.asked)
    assert resolve(NAME, COMMIT) == folder
    assert len(published.asked) == asked


def test_the_default_branch_is_looked_up_anew(published: HubStandIn, tmp_path: Path) -> None:
    first = resolve(NAME)
    checkpoint(seed=1).save(tmp_path / "newer")
    files = {path.name: path.read_bytes() for path in (tmp_path / "newer").iterdir()}
    published.shelves[NAME] = Shelf("d" * 40, files)
    second = resolve(NAME)
    assert (first.name, second.name) == (COMMIT, "d" * 40)
    assert Checkpoint.load(first).sha256 != Checkpoint.load(second).sha256
    assert resolve(NAME, COMMIT) == first


def test_what_was_fetched_is_there_offline(published: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = resolve(NAME)
    offline(monkeypatch)
    asked = len(published.asked)
    assert resolve(NAME) == folder
    assert resolve(NAME, COMMIT) == folder
    assert len(published.asked) == asked


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_cache_made_by_hand_is_read_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path, revision: str | None
) -> None:
    snapshot = cache(tmp_path, saved)
    offline(monkeypatch)
    assert resolve(NAME, revision) == snapshot


@pytest.mark.parametrize("revision", [None, "v1", "d" * 40])
def test_what_is_not_in_the_cache_is_said_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path, revision: str | None
) -> None:
    cache(tmp_path, saved, reference=None)
    offline(monkeypatch)
    with pytest.raises(ValueError, match=r"someone/head at .*: not in the cache, and HF_HUB_OFFLINE forbids downloads"):
        resolve(NAME, revision)


def test_half_a_cache_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path) -> None:
    (cache(tmp_path, saved) / "model.safetensors").unlink()
    offline(monkeypatch)
    with pytest.raises(ValueError, match="not in the cache"):
        resolve(NAME)


def test_an_unreachable_hub_is_said() -> None:
    with pytest.raises(
        ValueError, match=r"someone/head at its default branch: the hub cannot be reached \(.*\); a comm"
    ):
        resolve(NAME)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "GatedRepo", r"accept the terms on https://huggingface.co/someone/head, then log in \(hf auth login\)"),
        (403, "GatedRepo", r"its owner wants to know who asks"),
        (401, "RepoNotFound", r"no such folder, and no such model on the hub that you may see"),
        (403, "", r"the hub does not let you \(403\)"),
        (500, "", r"the hub answers 500; try again later"),
    ],
)
def test_what_the_hub_refuses_is_explained(published: HubStandIn, status: int, code: str, message: str) -> None:
    published.status, published.error_code = status, code
    with pytest.raises(ValueError, match=message) as raised:
        resolve(NAME)
    assert "\n" not in str(raised.value)


def test_a_missing_repository_and_a_missing_revision(published: HubStandIn) -> None:
    with pytest.raises(ValueError, match=r"someone/other: there is no such folder, and no such model"):
        resolve("someone/other")
    with pytest.raises(ValueError, match=r"revision: someone/head has no 'v2'"):
        resolve(NAME, "v2")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_repository_of_something_else_is_not_fetched(published: HubStandIn, missing: str) -> None:
    files = dict(published.shelves[NAME].files)
    published.shelves[NAME].files = {name: data for name, data in files.items() if name != missing}
    with pytest.raises(ValueError, match=rf"has no {missing}, so it is no checkpoint"):
        resolve(NAME)
    assert fetched(published) == set()


@pytest.mark.parametrize(
    ("name", "size"), [("config.json", 5 << 20), ("model.safetensors", 3 << 30), ("README.md", None)]
)
def test_what_is_too_large_is_not_fetched(published: HubStandIn, name: str, size: int | None) -> None:
    published.sizes[name] = size
    with pytest.raises(ValueError, match=rf"{name}: {size} bytes, accepted are at most \d+; not fetched"):
        resolve(NAME)
    assert fetched(published) == set()


def test_weights_that_the_line_damaged_are_refused(published: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = published.shelves[NAME].files["model.safetensors"]
    send = "hub_stand_in._Handler._send_blob"
    monkeypatch.setattr(send, lambda self, _: self._send_bytes(weights[:-1] + bytes([weights[-1] ^ 1]), {}))
    with pytest.raises(
        ValueError, match=r"model\.safetensors: has sha256 \w+, published is \w+; delete .*someone--head"
    ):
        resolve(NAME)


def test_what_is_no_checkpoint_is_refused(published: HubStandIn) -> None:
    published.shelves[NAME].files = {**published.shelves[NAME].files, "config.json": b'{"model_type": "bert"}'}
    with pytest.raises(ValueError, match=r"config\.json: not a tunejury-checkpoint"):
        resolve(NAME)


def test_a_head_is_published_and_fetched_again(stand_in: HubStandIn, saved: Path) -> None:
    pushed = push(saved, NAME, message="First")
    shelf = stand_in.shelves[NAME]
    assert (pushed.url, pushed.commit, shelf.messages, shelf.private) == (
        f"{stand_in.url}/{NAME}",
        shelf.commit,
        ["First"],
        False,
    )
    assert sorted(shelf.files) == ["README.md", "config.json", "model.safetensors"]
    assert shelf.files["model.safetensors"] == (saved / "model.safetensors").read_bytes()
    config = json.loads(shelf.files["config.json"])
    assert config.pop("sha256") == {"model.safetensors": hashlib.sha256(shelf.files["model.safetensors"]).hexdigest()}
    assert config == json.loads((saved / "config.json").read_text())
    loaded = Checkpoint.load(resolve(NAME, pushed.commit))
    x = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    np.testing.assert_array_equal(loaded.score(jnp.asarray(x)), checkpoint().score(jnp.asarray(x)))
    assert (loaded.sha256, loaded.metrics) == (checkpoint().sha256, FACTS["metrics"])
    assert set(stand_in.blob_tokens) == {None}


def test_an_ensemble_is_published_and_fetched_again(stand_in: HubStandIn, tmp_path: Path) -> None:
    random_ensemble(3).save(tmp_path / "ensemble")
    push(tmp_path / "ensemble", NAME)
    assert Checkpoint.load(resolve(NAME)).sha256 == random_ensemble(3).sha256


def test_a_second_commit_changes_what_the_default_branch_gives(
    stand_in: HubStandIn, saved: Path, tmp_path: Path
) -> None:
    first = push(saved, NAME)
    checkpoint(seed=1).save(tmp_path / "newer")
    second = push(tmp_path / "newer", NAME)
    assert first.commit != second.commit
    assert resolve(NAME).name == second.commit
    assert stand_in.shelves[NAME].messages[0] == f"Reward head {checkpoint().sha256[:12]}"


def test_weights_beside_another_config_are_refused(stand_in: HubStandIn, saved: Path, tmp_path: Path) -> None:
    push(saved, NAME)
    checkpoint(seed=1).save(tmp_path / "other")
    files = stand_in.shelves[NAME].files
    stand_in.shelves[NAME].files = {**files, "model.safetensors": (tmp_path / "other/model.safetensors").read_bytes()}
    with pytest.raises(ValueError, match=r"model\.safetensors: has sha256 \w+, published is \w+"):
        resolve(NAME)


@pytest.mark.parametrize("recorded", [3, {"../secret": "a"}])
def test_a_record_of_other_files_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path, recorded: object
) -> None:
    path = cache(tmp_path, saved) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": recorded}))
    offline(monkeypatch)
    with pytest.raises(ValueError, match=r"config\.json: sha256: expected digests of \['config\.json', "):
        resolve(NAME)


def test_a_private_repository_is_private_or_nothing_is_sent(stand_in: HubStandIn, saved: Path) -> None:
    push(saved, NAME, private=True)
    assert stand_in.shelves[NAME].private
    stand_in.shelves[NAME] = Shelf("0" * 40, {})
    with pytest.raises(ValueError, match="private: someone/head is public already; nothing was uploaded"):
        push(saved, NAME, private=True)
    assert stand_in.shelves[NAME].files == {}


@pytest.mark.parametrize("name", ["head", "a/b/c", "../head", ""])
def test_a_name_without_an_owner_is_refused(stand_in: HubStandIn, saved: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"name: got .*, accepted is owner/name"):
        push(saved, name)
    assert stand_in.asked == []


def test_what_is_no_checkpoint_is_not_published(stand_in: HubStandIn, tmp_path: Path, saved: Path) -> None:
    shutil.copytree(saved, tmp_path / "broken")
    weights = tmp_path / "broken" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"broken/model\.safetensors: "):
        push(tmp_path / "broken", NAME)
    assert stand_in.asked == []


@pytest.mark.parametrize(
    ("status", "message"), [(401, r"the hub does not let you \(401\); log in"), (500, "answers 500")]
)
def test_a_push_that_the_hub_refuses_is_explained(stand_in: HubStandIn, saved: Path, status: int, message: str) -> None:
    stand_in.status = status
    with pytest.raises(ValueError, match=message):
        push(saved, NAME)


def test_an_upload_that_breaks_off_is_explained(
    stand_in: HubStandIn, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_stand_in._Handler.do_PUT", lambda self: (self._body(), self._send(403, b"", {})))
    with pytest.raises(
        ValueError, match=r"someone/head: Error while uploading 'model\.safetensors' .*403.*; try again"
    ):
        push(saved, NAME)
    assert stand_in.shelves[NAME].files == {}


def test_a_push_offline_is_explained(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    offline(monkeypatch)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE forbids"):
        push(saved, NAME)


@pytest.mark.parametrize("call", [lambda saved: resolve(NAME), lambda saved: push(saved, NAME)], ids=["pull", "push"])
def test_without_the_hubs_client_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, saved: Path, call: Callable[[Path], object]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ValueError, match=r"Hugging Face hub needs the export extra, .*pip install 'tunejury-jax\[export"
    ):
        call(saved)


def test_the_card_of_a_published_head(stand_in: HubStandIn, saved: Path) -> None:
    push(saved, NAME)
    card = stand_in.shelves[NAME].files["README.md"].decode()
    assert card.startswith("---\nlicense: other\n")
    for said in (
        f'Scorer.from_pretrained("{NAME}")',
        "Pairs of Alpha, Gamma.",
        "Left out of training: Beta.",
        "Trained without prompts: Gamma.",
        "Pairs: 1234 train, 56 valid.",
        "| source | train | valid |\n|---|---|---|\n| Alpha | 1000 (900) | 56 (50) |\n| Gamma | 234 (200) | 0 (0) |\n",
        "| test_accuracy | 0.7500 | 0.7000 to 0.8000 |",
        "| toy | 8 | clip | 1 | ",
        "THIS_FOLDER",
    ):
        assert (said in card) == (said != "THIS_FOLDER"), said


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"store": 3, "data": None, "pairs": [], "pairs_by_source": "many"},
        {"data": {"leave_out": None}, "pairs_by_source": {"train": 7}},
    ],
)
def test_a_card_of_a_head_that_says_little_of_its_training(tmp_path: Path, training: dict[str, object]) -> None:
    random_checkpoint(training=training).save(tmp_path / "head")
    card = (tmp_path / "head/README.md").read_text()
    assert "Pairs" not in card
    assert "| source |" not in card


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stand_in: HubStandIn, saved: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["tunejury", "push", str(saved), NAME, "--private", "--message", "Mine"])
    with pytest.raises(SystemExit) as left:
        main()
    shelf = stand_in.shelves[NAME]
    assert (left.value.code, shelf.private, shelf.messages) == (0, True, ["Mine"])
    out = capsys.readouterr().out
    assert f"Published: {stand_in.url}/{NAME} at commit {shelf.commit}" in out
    assert re.search(rf"from_pretrained\('{NAME}', revision='{shelf.commit}'\)", out)


def test_limits_are_those_of_a_checkpoint() -> None:
    assert hub.MAX_BYTES["config.json"] == 4 << 20
    assert hub.MAX_BYTES["model.safetensors"] == 2 << 30
