"""Published heads as checkpoints and back: which blocks they read, what is recorded, what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from closeness import assert_close
from random_ensembles import random_ensemble
from random_heads import random_checkpoint
from sealed_store import toy_store
from torch_twin import Twin

from tunejury_jax.blocks import Layout
from tunejury_jax.bridge.upstream import export_head, export_members, find_layout, import_head, recorded_encoders
from tunejury_jax.checkpoint import Checkpoint
from tunejury_jax.provenance import assume

PATH = {"crop": "middle", "train16k": True, "int16": False, "seed": 0}


def published(path, input_dim=512, module="net", widths=(5, 3), seed=0):
    torch.manual_seed(seed)
    twin = Twin(input_dim, widths).unsettle(seed + 1).eval()
    for norm in twin.norms:
        norm.num_batches_tracked.fill_(4321)
    torch.save({name.replace("net.", f"{module}."): value for name, value in twin.state_dict().items()}, path)
    return twin


def imported(path, *blocks):
    return import_head(path, blocks, lambda layout: assume(layout, PATH))


@pytest.mark.parametrize(
    ("module", "input_dim", "blocks"),
    [("net", 2048, ("clap_audio", "mert", "clap_text")), ("score", 1024, ("muq_audio", "muq_text"))],
)
def test_a_published_head_scores_as_in_torch(tmp_path, module, input_dim, blocks):
    twin = published(tmp_path / "head.pt", input_dim, module)
    found = imported(tmp_path / "head.pt")
    assert found.layout.names == blocks
    x = np.random.default_rng(0).standard_normal((9, input_dim)).astype(np.float32)
    assert_close(found.score(jnp.asarray(x)), twin(torch.from_numpy(x)).detach())


@pytest.mark.parametrize("module", ["net", "score"])
def test_from_a_file_to_a_checkpoint_folder_and_back_is_bitwise(tmp_path, module):
    published(tmp_path / "head.pt", 1024, module)
    imported(tmp_path / "head.pt", "muq_audio", "muq_text").save(tmp_path / "folder")
    export_head(Checkpoint.load(tmp_path / "folder"), tmp_path / "back.pt")
    first, back = (torch.load(tmp_path / name, weights_only=True) for name in ("head.pt", "back.pt"))
    assert list(back) == list(first)
    for name, value in first.items():
        assert back[name].dtype == value.dtype
        assert back[name].numpy().tobytes() == value.numpy().tobytes()


def test_the_file_is_remembered(tmp_path):
    published(tmp_path / "head.pt", 2048)
    record = imported(tmp_path / "head.pt").training["imported"]
    assert (record["file"], record["module"], record["num_batches_tracked"]) == ("head.pt", "net", [4321, 4321])
    assert len(record["sha256"]) == 64


CHOICES = {
    ("net", 512): ["clap_audio", "clap_text", "muq_audio", "muq_text"],
    ("net", 1024): ["mert", "clap_audio clap_text", "muq_audio muq_text"],
    ("net", 1536): ["clap_audio mert", "mert clap_text"],
    ("score", 512): ["muq_audio", "muq_text"],
}


@pytest.mark.parametrize(("module", "input_dim"), CHOICES)
def test_blocks_that_are_not_clear_are_never_guessed(tmp_path, module, input_dim):
    told = "; or ".join(f"--blocks {choice}" for choice in CHOICES[module, input_dim])
    with pytest.raises(ValueError, match=f"reads {input_dim} columns and does not say which they are: {told}$"):
        find_layout(tmp_path / "head.pt", module, input_dim)


def test_blocks_of_no_known_width_are_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"reads 656 columns .*: --blocks with those it was trained on"):
        find_layout(tmp_path / "head.pt", "net", 656)


@pytest.mark.parametrize("blocks", [("mert", "clap_audio"), ("clap_text", "mert")])
def test_given_blocks_are_laid_out_in_their_order(tmp_path, blocks):
    assert find_layout(tmp_path / "head.pt", "net", 1536, blocks) == Layout.of(blocks)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (("mert",), r"blocks: \['mert'\] have 1024 columns, .* reads 1536"),
        (("mert", "clap"), "block: got 'clap', accepted are 'clap_audio'"),
        (("mert", "mert"), "each block may occur once"),
    ],
)
def test_given_blocks_must_fit(tmp_path, blocks, message):
    with pytest.raises(ValueError, match=message):
        find_layout(tmp_path / "head.pt", "net", 1536, blocks)


def sidecar(folder, document):
    (folder / "head.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return folder / "head.pt"


@pytest.mark.parametrize(
    ("exclude", "names"),
    [
        ([], ("clap_audio", "mert", "clap_text")),
        (["text"], ("clap_audio", "mert")),
        (["clap_audio"], ("mert", "clap_text")),
        (["clap_audio", "text"], ("mert",)),
        (["mert"], ("clap_audio", "clap_text")),
    ],
)
def test_the_json_beside_it_says_which_blocks_are_left(tmp_path, exclude, names):
    dim = Layout.of(names).dim
    assert find_layout(sidecar(tmp_path, {"input_dim": dim, "exclude": exclude}), "net", dim).names == names


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"input_dim": 1536}, "exclude is None, expected a list of"),
        ({"input_dim": 1536, "exclude": "text"}, "exclude is 'text', expected a list of"),
        ({"input_dim": 1536, "exclude": ["clap_text"]}, "exclude: got 'clap_text', accepted are 'clap_audio'"),
        ({"input_dim": 1536, "exclude": [["text"]]}, r"exclude: got \['text'\], accepted are"),
        ({"input_dim": 2048, "exclude": ["text"]}, "input_dim is 2048, the weights read 1536"),
        ({"input_dim": 1536, "exclude": []}, "have 2048 columns, .* reads 1536"),
        ("{", "head.json: not JSON"),
        ("[]", "head.json: expected a JSON object, got list"),
    ],
    ids=str,
)
def test_a_json_that_does_not_fit_is_refused(tmp_path, document, message):
    with pytest.raises(ValueError, match=message):
        find_layout(sidecar(tmp_path, document), "net", 1536)


def test_given_blocks_do_not_overrule_the_json(tmp_path):
    path = sidecar(tmp_path, {"input_dim": 1024, "exclude": ["mert"]})
    with pytest.raises(
        ValueError, match=r"blocks: got \['mert'\], the .json beside .* says \['clap_audio', 'clap_text'\]"
    ):
        find_layout(path, "net", 1024, ("mert",))
    assert find_layout(path, "net", 1024, ("clap_text", "clap_audio")).names == ("clap_audio", "clap_text")


@pytest.mark.parametrize(
    ("blocks", "exclude"),
    [
        (("clap_audio", "mert", "clap_text"), []),
        (("mert",), ["clap_audio", "text"]),
        (("clap_audio", "clap_text"), ["mert"]),
        (("mel_baseline",), None),
        (("muq_audio", "muq_text"), None),
    ],
)
def test_a_json_is_written_where_upstream_has_the_names(tmp_path, blocks, exclude):
    checkpoint = random_checkpoint(blocks=blocks)
    export_head(checkpoint, tmp_path / "head.pt")
    beside = tmp_path / "head.json"
    if exclude is None:
        assert not beside.exists()
    else:
        assert json.loads(beside.read_text()) == {"input_dim": checkpoint.layout.dim, "exclude": exclude}
        assert imported(tmp_path / "head.pt").layout == checkpoint.layout


def test_a_head_of_our_own_is_written_as_net_and_loads_strictly(tmp_path):
    checkpoint = random_checkpoint()
    export_head(checkpoint, tmp_path / "sub" / "head.pt")
    twin = Twin(12, (6, 4))
    twin.load_state_dict(torch.load(tmp_path / "sub" / "head.pt", weights_only=True), strict=True)
    x = np.random.default_rng(0).standard_normal((9, 12)).astype(np.float32)
    assert_close(twin.eval()(torch.from_numpy(x)).detach(), checkpoint.score(jnp.asarray(x)))


def test_an_ensemble_becomes_a_file_a_member(tmp_path):
    combined = random_ensemble(3)
    with pytest.raises(ValueError, match=r"a \.pt file holds one head, the checkpoint has 3 members"):
        export_head(combined, tmp_path / "head.pt")
    export_members(combined, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"member_{number}.pt" for number in range(3)]
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    twins = [Twin(12, (6, 4)).eval() for _ in range(3)]
    for number, twin in enumerate(twins):
        twin.load_state_dict(torch.load(tmp_path / f"member_{number}.pt", weights_only=True))
    assert_close(torch.stack([twin(x) for twin in twins]).mean(0).detach(), combined.score(jnp.asarray(x.numpy())))


@pytest.mark.parametrize("name", ["head.pt", "head.json"])
def test_nothing_is_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=rf"{name}: exists already; name a new file"):
        export_head(random_checkpoint(blocks=("mert",)), tmp_path / "head.pt")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], r"training\.imported: got \[\], expected an object"),
        ({"module": "os", "num_batches_tracked": [1, 2]}, r"training\.imported\.module: got 'os', accepted are 'net'"),
        ({"module": "net", "num_batches_tracked": [1]}, r"num_batches_tracked: got \[1\], expected 2 counts"),
        ({"module": "net", "num_batches_tracked": [1, True]}, "expected 2 counts"),
        ({"module": "net", "num_batches_tracked": [1, 1 << 63]}, "expected 2 counts"),
        ({"module": "net"}, "num_batches_tracked: got None, expected 2 counts"),
    ],
    ids=str,
)
def test_a_damaged_record_of_the_import_is_refused(tmp_path, record, message):
    with pytest.raises(ValueError, match=message):
        export_head(random_checkpoint(training={"imported": record}), tmp_path / "head.pt")


def test_encoders_are_taken_from_a_checkpoint_or_a_store(tmp_path):
    random_checkpoint().save(tmp_path / "head")
    toy_store(tmp_path / "store", pairs=20)
    layout = random_checkpoint().layout
    of_head, of_store = (recorded_encoders(str(tmp_path / name), layout) for name in ("head", "store"))
    assert of_head == of_store == random_checkpoint().encoders


def test_encoders_that_are_not_there_are_named(tmp_path):
    random_checkpoint().save(tmp_path / "head")
    with pytest.raises(ValueError, match=r"encoders_from: .* has no block mert; it has \['toy', 'words'\]"):
        recorded_encoders(str(tmp_path / "head"), Layout.of(["mert"]))
    with pytest.raises(ValueError, match="nowhere"):
        recorded_encoders(str(tmp_path / "nowhere"), Layout.of(["mert"]))
