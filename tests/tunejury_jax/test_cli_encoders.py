"""`tunejury encoders`, as a user runs it: the list, fetching, licences, and what is said of rubbish."""

import builtins
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_stand_in import HubStandIn, serving
from huggingface_hub import close_session, constants
from published_factory import BIG, hub_of, published
from random_heads import random_checkpoint

from feature_export.weights import published as published_module
from tunejury_jax.cli import main

Run = Callable[..., tuple[object, str, str]]
NET = published("CC-BY-NC-4.0")
FREE = published("MIT", "clap")
WORDS = "I accept CC-BY-NC-4.0 for Net-330M"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["tunejury", "encoders", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TUNEJURY_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    for each in (NET, FREE):
        monkeypatch.setitem(published_module.PUBLICATIONS, each.name, each)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serving(hub_of(NET)) as standing:
        monkeypatch.setenv("HF_ENDPOINT", standing.url)
        yield standing
    close_session()


def flat(text: str) -> str:
    return re.sub(r"[\s│┃]+", " ", text)


def test_the_list_without_any_weights(run: Run, root: Path) -> None:
    status, out, err = run()
    assert (status, err) == (0, "")
    assert " mel mel_baseline, ngram_baseline Apache-2.0, this project's none built in " in flat(out)
    assert " clap clap_audio, clap_text LAION-CLAP-Music: CC0-1.0; roberta-base: MIT 2.35 GB not there " in flat(out)
    assert " mert mert MERT-v1-330M: CC-BY-NC-4.0, non-commercial 1.26 GB not there " in flat(out)
    assert " muq muq_audio, muq_text MuQ-MuLan-large: CC-BY-NC-4.0, non-commercial; 2.66 GB not there " in flat(out)
    assert f"Weights are looked for in {root} (environment variable TUNEJURY_WEIGHTS)\n" in out
    assert run("list")[1] == out
    assert not root.exists()


def test_the_list_tells_what_is_missing_and_what_nobody_checked(run: Run, root: Path) -> None:
    (root / "mert").mkdir(parents=True)
    (root / "mert/config.json").touch()
    assert " missing: " in flat(run()[1])
    for name in ("preprocessor_config.json", "model.safetensors"):  # which does as well
        (root / "mert" / name).touch()
    assert "put there by hand, not checked; licence not accepted" in joined(run()[1])


def joined(out: str) -> str:
    """The last column of the row of mert."""
    cells = [line.split("│")[5].strip() for line in out.splitlines() if line.count("│") == 6]
    return " ".join(cell for cell in cells if cell)


def test_a_free_licence_needs_no_words(run: Run, stand_in: HubStandIn, root: Path) -> None:
    status, out, err = run("fetch", "clap")
    assert (status, (root / "clap/net.bin").read_bytes()) == (0, BIG)
    assert out == f"{root}/clap: complete, every file as published (Net-330M@{'a' * 40} words@{'b' * 40})\n"
    assert "fetch clap: 6/6 MiB" in err
    assert "complete" in joined(run()[1])
    assert not (root / "licences.json").exists()


def test_a_non_commercial_licence_is_accepted_once(run: Run, stand_in: HubStandIn, root: Path) -> None:
    status, out, err = run("fetch", "mert")
    assert (status, out, stand_in.asked) == (2, "", [])
    assert err.endswith(f'for non-commercial use only; if you accept that, add: --accept "{WORDS}"\n')
    assert not (root / "mert").exists()
    status, _, err = run("fetch", "mert", "--accept", "yes")
    assert (status, err) == (2, f"tunejury: error: accept: got 'yes', expected the words '{WORDS}'\n")
    assert run("fetch", "mert", "--accept", "")[0] == 2
    assert run("fetch", "mert", "--accept", WORDS)[0] == 0
    (root / "mert/net.bin").unlink()
    assert run("fetch", "mert")[0] == 0


@pytest.mark.parametrize(("typed", "status"), [(WORDS, 0), ("yes", 2)])
def test_a_person_is_asked(
    monkeypatch: pytest.MonkeyPatch, run: Run, stand_in: HubStandIn, typed: str, status: int
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", lambda question: (print(question), typed)[1])
    left, out, _ = run("fetch", "mert")
    assert left == status
    assert "Net-330M is published under CC-BY-NC-4.0: for non-commercial use only, with attribution." in out
    assert f"type: {WORDS}" in out


def test_a_person_who_leaves_has_not_accepted(monkeypatch: pytest.MonkeyPatch, run: Run, stand_in: HubStandIn) -> None:
    def leave(_: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", leave)
    status, _, err = run("fetch", "mert")
    assert (status, err) == (2, f"tunejury: error: accept: got '', expected the words '{WORDS}'\n")


def test_no_network_is_needed_with_a_folder(run: Run, root: Path, stand_in: HubStandIn, tmp_path: Path) -> None:
    run("fetch", "clap")
    source = (root / "clap").rename(tmp_path / "copied")
    stand_in.asked.clear()
    status, out, _ = run("fetch", "clap", "--from", source)
    assert (status, stand_in.asked) == (0, [])
    assert "every file as published" in out


def test_offline_is_one_line(run: Run) -> None:
    status, out, err = run("fetch", "clap")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "HF_HUB_OFFLINE forbids downloads; unset it, or take the files from a folder: --from DIR" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch",), "Missing from tunejury encoders fetch"),
        (("fetch", "mel"), "mel"),
        (("fetch", "../../etc"), "etc"),
        (("fetch", "clap", "--from", "/no/such"), "from: /no/such is not a folder"),
        (("fetch", "clap", "--from", sys.executable), "is not a folder"),
        (("fetch", "clap", "--from"), "from"),
        (("fetch", "clap", "mert"), "mert"),
        (("fetsh", "clap"), "fetsh"),
    ],
)
def test_rubbish_is_refused(run: Run, root: Path, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert not root.exists()


def test_scoring_with_weights_that_nobody_accepted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    provenance = {"encoder": "mert", "revision": "1", "weights": "MERT-v1-330M"}
    random_checkpoint({"mert": provenance}, ("mert",)).save(tmp_path / "head")
    (tmp_path / "clip.wav").touch()
    asked = ["tunejury", "score", str(tmp_path / "clip.wav"), "--checkpoint", str(tmp_path / "head")]
    monkeypatch.setattr(sys, "argv", asked)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "licence: MERT-v1-330M is published under CC-BY-NC-4.0" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(run: Run, root: Path, stand_in: HubStandIn) -> None:
    root.write_text("a file")
    status, out, err = run("fetch", "clap")
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_damaged_record_is_one_line(run: Run, root: Path) -> None:
    (root / "mert").mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json", "pytorch_model.bin"):
        (root / "mert" / name).touch()
    (root / "mert/fetched.json").write_text("{")
    status, _, err = run()
    assert (status, err.count("\n")) == (2, 1)
    assert "fetched.json" in err


@pytest.mark.parametrize("arguments", [("--help",), ("fetch", "--help")], ids=" ".join)
def test_help_is_quick_and_the_list_needs_no_torch(arguments: tuple[str, ...]) -> None:
    script = "import sys; from tunejury_jax.cli import main\ntry: main()\n"
    script += "finally: print(*({'jax', 'torch'} & sys.modules.keys()), file=sys.stderr)"
    for given in (arguments, ()):
        done = subprocess.run(
            [sys.executable, "-c", script, "encoders", *given], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.strip()) == (0, "")
