"""Upstream's feature files into a store: the same bits, whatever happened on the way, and nothing but such files."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tyro

from feature_export import import_pt as importing
from feature_export.__main__ import Command, main
from feature_export.encoders import stack_from_provenance
from feature_export.import_pt import BACKEND, import_pt
from feature_export.pt_file import read_pt
from trainers.config import RunConfig
from trainers.data import load_dataset
from trainers.recipe import DataConfig, TrainConfig
from trainers.training import train
from tunejury_jax.pairs import LABELS, SPLITS
from tunejury_jax.scorer import Scorer
from tunejury_jax.store import FeatureStore, StoreError

DIMS = {"clap": 512, "mert": 1024}
WINNERS = ("model_a", "model_b", "tie")
PROMPTS = ("calm piano", "", "a choir", "calm piano")
SOURCES = ("MusicPrefs", "AIME", "SongEval", "MusicArena")


def vector(dim: int, seed: int) -> torch.Tensor:
    values = torch.randn(dim, generator=torch.Generator().manual_seed(seed))
    values[:3] = torch.tensor([-0.0, 1e-42, 0.1])  # bits that arithmetic would lose
    return values


def blob(number: int, **changes: Any) -> dict[str, Any]:
    """Upstream's record of pair n: of four sources in turn, clip b the clip a of the next."""
    prompt = PROMPTS[number % 4]
    text = vector(512, 900 + PROMPTS.index(prompt)) if prompt else torch.zeros(512)
    return {
        "uuid": f"pair_{number:03d}",
        "prompt": prompt,
        "flag": torch.tensor([float(number % 4 != 0)]),
        "winner": WINNERS[number % 3],
        "source": SOURCES[number % 4],
        "text_emb": text,
        "clap_a": vector(512, number),
        "clap_b": vector(512, number + 1),
        "mert_a": vector(1024, number),
        "mert_b": vector(1024, number + 1),
    } | changes


def write(folder: Path, count: int = 12, **changes: Any) -> Path:
    """The last file has the changes."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        record = blob(number, **(changes if number == count - 1 else {}))
        torch.save(record, folder / f"pair_{number:03d}.pt")
    return folder


def write_splits(folder: Path, count: int = 12, **more: list[str]) -> Path:
    """A list for each source: of its pairs, the last to test, the one before to validate on."""
    folder.mkdir()
    for source in SOURCES:
        ids = [f"pair_{number:03d}" for number in range(count) if SOURCES[number % 4] == source]
        lists = {"train": ids[:-2], "valid": ids[-2:-1], "test": ids[-1:]} | more
        (folder / f"{source}-random_split.json").write_text(json.dumps(lists))
    return folder


def run(*arguments: Any) -> int:
    return main(tyro.cli(Command, args=[str(argument) for argument in arguments]))  # type: ignore[arg-type]


def content(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported")
    import_pt(write(root / "pt"), str(root / "store"), write_splits(root / "splits"), block_rows=5)
    return root


def test_every_bit_is_kept(imported: Path) -> None:
    dataset = load_dataset(FeatureStore.open_sealed(str(imported / "store")), DataConfig())
    assert dataset.layout.names == ("clap_audio", "mert", "clap_text")
    clap, mert, (text,) = *(np.asarray(part) for part in dataset.arrays.clip), map(np.asarray, dataset.arrays.prompt)
    assert len(dataset.ids) == 12
    for row, pair_id in enumerate(dataset.ids):
        record = blob(int(pair_id[-3:]))
        a, b, prompt = np.asarray(dataset.arrays.index)[row]
        for values, field in ((clap[a], "clap_a"), (clap[b], "clap_b"), (mert[a], "mert_a"), (mert[b], "mert_b")):
            assert values.tobytes() == record[field].numpy().tobytes()
        assert text[prompt].tobytes() == record["text_emb"].numpy().tobytes()
        assert dataset.arrays.target[row] == {"model_a": 1, "model_b": 0, "tie": 0.5}[record["winner"]]
        assert dataset.sources[dataset.source[row]] == record["source"]


def test_pairs_and_splits(imported: Path) -> None:
    store = FeatureStore.open_sealed(str(imported / "store"))
    assert store.plan.sources == ("MusicArena", "MusicPrefs", "AIME", "SongEval")
    arrays = store.pair_arrays()
    assert [SPLITS[code] for code in arrays.split] == ["train", "valid", "test"] * 4
    assert sorted(LABELS[code] for code in arrays.label) == ["a"] * 4 + ["b"] * 4 + ["tie"] * 4
    assert store.prompts() == ("a choir", "calm piano")
    assert store.clips()[0].key == "AIME/pair_001-a"
    store.verify()


def test_a_head_trains_on_it_and_refuses_encoders_that_did_not_make_it(tmp_path: Path) -> None:
    write(tmp_path / "pt")
    for number in range(12):
        torch.save(blob(number, winner=WINNERS[number % 2]), tmp_path / "pt" / f"pair_{number:03d}.pt")
    import_pt(tmp_path / "pt", str(tmp_path / "store"), write_splits(tmp_path / "splits"))
    recipe = TrainConfig(max_epochs=1, widths=(4,), batch_size=4)
    train(RunConfig(str(tmp_path / "store"), str(tmp_path / "run"), recipe))
    scorer = Scorer.from_checkpoint(tmp_path / "run" / "best")
    assert np.isfinite(scorer.score_features(np.zeros((1, 2048), np.float32))).all()
    with pytest.raises(ValueError, match=r"clap_audio\.backend: got 'imported from upstream \.pt', accepted are"):
        scorer.score(tmp_path / "x.wav")


def test_the_provenance_says_where_from(imported: Path, tmp_path: Path) -> None:
    plan = FeatureStore.open(str(imported / "store")).plan
    provenance = {name: spec.provenance for name, spec in plan.encoders.items()}
    assert {fields["backend"] for fields in provenance.values()} == {BACKEND}
    assert provenance["clap_audio"]["signal_path"] == {"crop": "random", "train16k": True, "int16": False}
    assert "signal_path" not in provenance["mert"]
    with pytest.raises(ValueError, match="backend"):
        stack_from_provenance(provenance)
    other = import_pt(write(tmp_path / "pt", winner="model_a"), str(tmp_path / "store"))
    assert other.plan.encoders["mert"].fingerprint != plan.encoders["mert"].fingerprint


@pytest.mark.parametrize("blocks", [0, 1, 3, 6])
def test_an_import_that_was_cut_off_goes_on(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    """Cut off before the given number of blocks was written; then the files of both are the same."""
    left = iter(range(blocks))

    def cut_off(*arguments: Any) -> bool:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return write_block(*arguments)

    write_block = importing.write_block
    monkeypatch.setattr(importing, "write_block", cut_off)
    arguments = (imported / "pt", str(tmp_path / "store"), imported / "splits", 5)
    with pytest.raises(KeyboardInterrupt):
        import_pt(*arguments)
    assert sum("commits" in path for path in content(tmp_path / "store")) == blocks
    monkeypatch.setattr(importing, "write_block", write_block)
    import_pt(*arguments)
    assert content(tmp_path / "store") == content(imported / "store")
    import_pt(*arguments)  # once more: nothing is left to do
    assert content(tmp_path / "store") == content(imported / "store")


def test_other_files_are_another_store(imported: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds a store with another plan"):
        import_pt(write(tmp_path / "pt", winner="model_a"), str(imported / "store"), imported / "splits", 5)


def test_a_file_that_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pt")
    survey = importing._survey

    def then_changed(folder: Path) -> Any:
        found = survey(folder)
        write(folder, winner="model_a")
        return found

    monkeypatch.setattr(importing, "_survey", then_changed)
    with pytest.raises(ValueError, match=r"pair_011\.pt: changed while it was imported"):
        import_pt(tmp_path / "pt", str(tmp_path / "store"))


def test_without_lists_no_features_are_in_two_splits(tmp_path: Path) -> None:
    """Every pair shares a clip with the next one, so all go to one split; those of other features need not."""
    write(tmp_path / "pt", 8)
    for number in range(60):
        names = [f"{name}_{side}" for name in DIMS for side in "ab"]
        apart = {name: vector(DIMS[name[:4]], 10_000 + 4 * number + n) for n, name in enumerate(names)}
        torch.save(blob(number) | apart | {"uuid": f"apart_{number}"}, tmp_path / "pt" / f"apart_{number}.pt")
    store = import_pt(tmp_path / "pt", str(tmp_path / "store"))
    ids = [record["pair_id"] for record in store.pair_records()]
    splits = dict(zip(ids, store.pair_arrays().split.tolist(), strict=True))
    assert len({splits[f"pair_{number:03d}"] for number in range(8)}) == 1
    assert len(set(splits.values())) == 3


def test_what_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "pt")
    splits = write_splits(tmp_path / "splits", 16)
    options = {"--features": tmp_path / "pt", "--splits": splits, "--out": tmp_path / "store"}
    assert run("import-pt", *(word for option in options.items() for word in option)) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'store'}\n"
    for line in (
        "split ids of AIME-random_split.json: found 3, missing 1, extra 0",
        "pairs: MusicArena 3, MusicPrefs 3, AIME 3, SongEval 3",
        "labels: a 4, b 4, tie 4",
        "splits: train 8, valid 4",
        "clips: by pair 24, different 13",
        "prompts: different 2, of zeros 0, pairs without 3",
    ):
        assert f"{line}\n" in shown.err
    assert run("inspect", "--store", tmp_path / "store") == 0
    assert "clap_text" in capsys.readouterr().out


def test_no_prompts_at_all(tmp_path: Path) -> None:
    (tmp_path / "pt").mkdir()
    torch.save(blob(1), tmp_path / "pt" / "pair_001.pt")
    store = import_pt(tmp_path / "pt", str(tmp_path / "store"))
    assert (store.prompts(), store.load("clap_text").values.shape) == ((), (0, 512))


def test_one_list_for_all(tmp_path: Path) -> None:
    write(tmp_path / "pt", 4)
    (tmp_path / "s.json").write_text(json.dumps({"train": ["pair_000", "pair_001"], "test": ["pair_002"]}))
    store = import_pt(tmp_path / "pt", str(tmp_path / "store"), tmp_path / "s.json")
    assert sorted(SPLITS[code] for code in store.pair_arrays().split) == ["none", "test", "train", "train"]


def test_lists_of_other_pairs(imported: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path / "splits", train=["x"], valid=[], test=[])
    with pytest.raises(
        ValueError, match=r"MusicArena-random_split\.json: none of its ids is a pair's: it lists \['x'\]"
    ):
        import_pt(imported / "pt", str(tmp_path / "store"), splits)
    (splits / "MusicArena-random_split.json").unlink()
    with pytest.raises(ValueError, match="expected one file"):
        import_pt(imported / "pt", str(tmp_path / "store"), splits)
    assert not (tmp_path / "store").exists()


def test_a_prompt_with_two_vectors(tmp_path: Path) -> None:
    write(tmp_path / "pt", 4, text_emb=vector(512, 900) + torch.eye(512)[5])
    message = (
        r"pair_003\.pt: text_emb: the prompt 'calm piano' has another vector in .*pair_000\.pt, they differ by up to 1$"
    )
    with pytest.raises(ValueError, match=message):
        import_pt(tmp_path / "pt", str(tmp_path / "store"))


def test_a_folder_without_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no \.pt files"):
        import_pt(tmp_path, str(tmp_path / "store"))


def test_a_matrix_of_one_row_is_a_vector(tmp_path: Path) -> None:
    torch.save(blob(0, clap_a=vector(512, 0)[None]), tmp_path / "pair_000.pt")
    assert read_pt(tmp_path / "pair_000.pt").vectors["clap_a"].tobytes() == vector(512, 0).numpy().tobytes()


NAN = torch.full((512,), torch.nan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clap_a": vector(1024, 0)}, r"clap_a: expected the shape \(512,\), got \(1024,\)"),
        ({"clap_a": torch.zeros(1).expand(1 << 40)}, r"clap_a: expected the shape \(512,\), got \(1099511627776,\)"),
        ({"mert_b": vector(1024, 0).double()}, r"mert_b: expected a float32 tensor, got torch\.float64"),
        ({"mert_b": [0.0] * 1024}, "mert_b: expected a float32 tensor, got list"),
        ({"clap_b": torch.eye(512)[0].to_sparse()}, "clap_b: expected a float32 tensor"),
        ({"clap_b": NAN}, "clap_b: 512 of 512 values are not finite"),
        ({"winner": "Model_A"}, "winner: got 'Model_A', accepted are 'model_a', 'model_b', 'tie'"),
        ({"source": "Other"}, "source: got 'Other', accepted are 'MusicArena'"),
        ({"uuid": "pair_001"}, "uuid: expected that of the file name, 'pair_000', got 'pair_001'"),
        ({"uuid": 3}, "uuid: expected that of the file name, 'pair_000', got 3"),
        ({"prompt": 3}, "prompt: expected a string or null, got 3"),
        ({"prompt": " "}, "text_emb: expected zeros, for the prompt is ' '"),
        ({"prompt": None}, "text_emb: expected zeros, for the prompt is ''"),
        ({"junk": torch.zeros(1 << 18)}, r"\d+ bytes, accepted are at most 1048576"),
    ],
)
def test_a_file_that_is_not_as_published(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    torch.save(blob(0, **changes), tmp_path / "pair_000.pt")
    with pytest.raises(ValueError, match=rf"pair_000\.pt: {message}"):
        read_pt(tmp_path / "pair_000.pt")


@pytest.mark.parametrize("field", list(blob(0)))
def test_a_missing_field(tmp_path: Path, field: str) -> None:
    torch.save({k: v for k, v in blob(0).items() if k != field}, tmp_path / "pair_000.pt")
    with pytest.raises(ValueError, match=rf"pair_000\.pt: {field}: missing, got only \["):
        read_pt(tmp_path / "pair_000.pt")


class Code:
    """What a hostile pickle asks for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/nowhere/at/all",)


def packed() -> bytes:
    """An archive whose members unpack to much more."""
    buffer = io.BytesIO()
    torch.save(blob(0), buffer)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/9", b"\0" * (64 << 20))
    return buffer.getvalue()


def saved(document: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(document, buffer, **how)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected an archive of torch.save"),
        (b"\x80\x02}.", "expected an archive of torch.save"),
        (pickle.dumps(Code()), "expected an archive of torch.save"),
        (saved(blob(0), _use_new_zipfile_serialization=False), "expected an archive of torch.save"),
        (saved(blob(0))[:-100], "expected an archive of torch.save"),
        (saved({"x": Code()}), "damaged, or holds more than tensors and plain values"),
        (saved([1]), "expected a dictionary, got list"),
        (packed(), r"\d+ bytes unpacked, accepted are at most 1048576"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(ValueError, match=rf"x\.pt: {message}"):
        read_pt(tmp_path / "x.pt")


def test_bytes_that_were_flipped_are_refused_or_harmless(tmp_path: Path) -> None:
    """Whatever is damaged, the answer is a ValueError, or a pair."""
    data, draw, said = saved(blob(0)), np.random.default_rng(0), set()
    for position in draw.integers(0, len(data), 60):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(draw.integers(8))
        (tmp_path / "pair_000.pt").write_bytes(damaged)
        try:
            read_pt(tmp_path / "pair_000.pt")
        except ValueError as error:
            said.add(str(error))
    assert said
    assert all(reason.startswith(f"{tmp_path / 'pair_000.pt'}: ") for reason in said)
