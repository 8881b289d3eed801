"""Checkpoints on the Hugging Face hub: three files of one commit, and nothing else.

Names and sizes are checked before anything is fetched, digests after. What was fetched lies in the cache of the hub's
own client, so a pinned commit needs no network the next time.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tunejury_jax.checkpoint import MAX_CONFIG_BYTES, MAX_WEIGHT_BYTES, Checkpoint
from tunejury_jax.documents import read_bounded, read_object, write_whole
from tunejury_jax.extras import import_extra
from tunejury_jax.model_card import licence_class, on_the_hub
from tunejury_jax.progress import say

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

__all__ = ["Pushed", "push", "resolve"]

HUB = "https://huggingface.co"
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
MAX_BYTES = {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: MAX_WEIGHT_BYTES, CARD: 1 << 20}
NEEDED = (CONFIG, WEIGHTS)
TIMEOUT_S = 20.0
ID = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
COMMIT = r"[0-9a-f]{40}"
DIGESTS = "sha256"
"""Field of a published config.json: file name -> sha256 of the file's bytes."""


@dataclass(frozen=True)
class Pushed:
    """What was published: the repository's address, and the commit."""

    url: str
    commit: str


def resolve(name: Path | str, revision: str | None = None) -> Path:
    """The local folder of a checkpoint, fetched from the hub where it is not here.

    The commit and the licence are printed; the default branch is looked up anew at every call, while a commit that was
    fetched once is taken from the cache.

    Args:
        name: A folder, or `owner/name` on the hub; a folder of that name comes first.
        revision: Commit, branch or tag on the hub; by default its default branch.

    Raises:
        ValueError: It is neither, cannot be had, or is not what was published; says what to do.
    """
    folder = Path(name)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision: got {revision!r}, but {folder} is a folder, which has none")
        return folder
    if not re.fullmatch(ID, str(name)):
        expected = "expected a checkpoint folder with config.json and model.safetensors, or owner/name on the hub"
        raise ValueError(f"{name}/config.json: missing; {expected}")
    return _fetched(str(name), revision)


def push(folder: Path, name: str, private: bool = False, message: str | None = None) -> Pushed:
    """Publishes a checkpoint: its weights as they are, its config with their sha256, and its model card.

    Args:
        folder: Of a checkpoint, which is checked first.
        name: `owner/name` on the hub; the repository is made where there is none.
        private: Only its owner sees a repository that is made now; a public one is refused.
        message: Of the commit.

    Raises:
        ValueError: Not a checkpoint, not such a name, or the hub refuses; says what to do.
    """
    checkpoint = Checkpoint.load(folder)
    if not re.fullmatch(ID, name):
        raise ValueError(f"name: got {name!r}, accepted is owner/name")
    api = _api()
    with TemporaryDirectory(prefix="tunejury-") as temporary, _explained(name):
        ready = _publication(checkpoint, folder, name, Path(temporary) / "checkpoint")
        api.create_repo(name, private=private, exist_ok=True)
        if private and not api.model_info(name, timeout=TIMEOUT_S).private:
            raise ValueError(f"private: {name} is public already; nothing was uploaded")
        done = api.upload_folder(
            repo_id=name,
            folder_path=ready,
            allow_patterns=list(MAX_BYTES),
            commit_message=message or f"Reward head {checkpoint.sha256[:12]}",
        )
    return Pushed(f"{api.endpoint}/{name}", done.oid)


def _publication(checkpoint: Checkpoint, source: Path, name: str, folder: Path) -> Path:
    """The folder as it is published."""
    checkpoint.save_as(folder, on_the_hub(name), lambda partial: shutil.copyfile(source / WEIGHTS, partial / WEIGHTS))
    config = read_object(folder / CONFIG, MAX_CONFIG_BYTES)
    (folder / CONFIG).write_text(json.dumps({**config, DIGESTS: {WEIGHTS: _sha256(folder / WEIGHTS)}}, indent=2) + "\n")
    return folder


def _fetched(name: str, revision: str | None) -> Path:
    hub, pinned = _client(), re.fullmatch(COMMIT, revision or "")
    folder = _cached(name, revision) if pinned or hub.constants.is_offline_mode() else None
    if folder is None:
        with _explained(name, revision):
            folder = _download(name, revision)
    _check(folder, _recorded(folder))
    _tell(name, folder, pinned is not None)
    return folder


def _cached(name: str, revision: str | None) -> Path | None:
    found = [_client().try_to_load_from_cache(name, file, revision=revision) for file in NEEDED]
    return Path(found[0]).parent if all(isinstance(path, str) for path in found) else None


def _download(name: str, revision: str | None) -> Path:
    info = _api().model_info(name, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    files = _accepted(name, info)
    endpoint = _endpoint()
    paths = {
        file: _client().hf_hub_download(name, file, revision=info.sha, etag_timeout=TIMEOUT_S, endpoint=endpoint)
        for file in files
    }
    folder = Path(paths[CONFIG]).parent
    _check(folder, {file: sibling.lfs.sha256 for file, sibling in files.items() if sibling.lfs})
    if revision is None:
        _remember(folder)
    return folder


def _accepted(name: str, info: "ModelInfo") -> dict[str, "RepoSibling"]:
    """The files to fetch, of those that a repository has."""
    files = {file.rfilename: file for file in info.siblings or () if file.rfilename in MAX_BYTES}
    if missing := [file for file in NEEDED if file not in files]:
        raise ValueError(f"{name}: has no {' and no '.join(missing)}, so it is no checkpoint of TuneJury-JAX")
    for file, sibling in files.items():
        if sibling.size is None or sibling.size > MAX_BYTES[file]:
            raise ValueError(
                f"{name}: {file}: {sibling.size} bytes, accepted are at most {MAX_BYTES[file]}; not fetched"
            )
    return files


def _remember(folder: Path) -> None:
    """Records the commit of the default branch, as the hub's client does, for when there is no network."""
    reference = folder.parents[1] / "refs" / "main"
    reference.parent.mkdir(exist_ok=True)
    write_whole(reference, folder.name)


def _recorded(folder: Path) -> Mapping[str, Any]:
    """The digests that a checkpoint was published with; none of one that was not published from here."""
    recorded = read_object(folder / CONFIG, MAX_CONFIG_BYTES).get(DIGESTS, {})
    if not isinstance(recorded, dict) or not {*recorded} <= {*MAX_BYTES}:
        raise ValueError(f"{folder}/{CONFIG}: {DIGESTS}: expected digests of {list(MAX_BYTES)}, got {recorded!r}")
    return recorded


def _check(folder: Path, digests: Mapping[str, Any]) -> None:
    for file, expected in digests.items():
        if (found := _sha256(folder / file)) != expected:
            anew = f"delete {folder.parents[1]} to fetch it anew"
            raise ValueError(f"{folder / file}: has sha256 {found}, published is {expected}; {anew}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(name: str, folder: Path, pinned: bool) -> None:
    blocks = [block.name for block in Checkpoint.load(folder).layout.blocks]
    pin = "" if pinned else f"to get this one again: revision {folder.name}"
    say(f"{name}: commit {folder.name}", f"licence {_licence(folder)}", licence_class(blocks), pin)


def _licence(folder: Path) -> str:
    """What the model card states in its header."""
    card = folder / CARD
    text = read_bounded(card, MAX_BYTES[CARD]).decode(errors="replace") if card.is_file() else ""
    header = re.match(r"---\r?\n(.*?)\n---", text, re.DOTALL)
    stated = re.search(r"^license: *([\w.-]+)", header[1], re.MULTILINE) if header else None
    return stated[1] if stated else "not stated"


def _client() -> Any:
    """The hub's client, which comes with the export extra."""
    return import_extra("huggingface_hub", "the Hugging Face hub")


def _api() -> "HfApi":
    return _client().HfApi(endpoint=_endpoint())


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


@contextmanager
def _explained(name: str, revision: str | None = None) -> Iterator[None]:
    """Turns what the hub's client raises into what a user can do."""
    errors, httpx = import_extra("huggingface_hub.errors", "the Hugging Face hub"), import_extra("httpx", "the hub")
    at = f"{name} at {revision or 'its default branch'}"
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise ValueError(
            f"{at}: not in the cache, and HF_HUB_OFFLINE forbids downloads; unset it, or name a folder"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"revision: {name} has no {revision!r}") from error
    except errors.HfHubHTTPError as error:
        raise ValueError(f"{name}: {_advice(error, name)}") from error
    except (httpx.HTTPError, ConnectionError, errors.LocalEntryNotFoundError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        cached = "a commit that was fetched once needs no network: give it as revision"
        raise ValueError(f"{at}: the hub cannot be reached ({reason}); {cached}") from error
    except RuntimeError as error:  # what an upload that breaks off becomes
        reason = " ".join(f"{error} {error.__cause__ or ''}".split())
        raise ValueError(f"{name}: {reason}; try again") from error


def _advice(error: Any, name: str) -> str:
    """What to do about an answer of the hub."""
    errors, status = import_extra("huggingface_hub.errors", "the Hugging Face hub"), error.response.status_code
    log_in = "log in (hf auth login) or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner wants to know who asks; accept the terms on {HUB}/{name}, then {log_in}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no such folder, and no such model on the hub that you may see; if it is private, {log_in}"
    if status in (401, 403):
        return f"the hub does not let you ({status}); {log_in}, with a token that may do this"
    return f"the hub answers {status}; try again later"
