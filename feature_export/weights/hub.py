"""Downloads from the Hugging Face hub: one file of one commit, continued where it was cut off, checked by digest.

The hub's own client gives addresses, tokens and metadata. It starts again what another process has begun, and
gigabytes take an hour on a slow line, so the bytes are fetched here.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from feature_export.weights.published import PublishedFile, Repository

__all__ = ["CHUNK_BYTES", "Remote", "download", "look_up"]

HUB = "https://huggingface.co"
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 20.0
ATTEMPTS = 5
PAUSE_S = 1.0
_INSTEAD = "or take the files from a folder: --from DIR"


@dataclass(frozen=True)
class Remote:
    """A published file as the hub offers it.

    Attributes:
        label: `owner/name: file`, for messages.
        url: Where its bytes are.
        size: In bytes.
        sha256: As published.
    """

    label: str
    url: str
    size: int
    sha256: str

    def part(self, target: Path) -> Path:
        """Where the bytes that have arrived are kept until all have."""
        return target.with_name(f".{target.name}.{self.sha256[:12]}.part")

    def left(self, target: Path) -> int:
        """How many bytes have not arrived yet."""
        part = self.part(target)
        return max(self.size - part.stat().st_size, 0) if part.exists() else self.size


def look_up(repository: Repository, file: PublishedFile) -> Remote:
    """Asks the hub for a file of the published commit.

    Raises:
        ValueError: Not reachable, not there, not for everybody, or with other bytes; says what to do.
    """
    endpoint, label = os.environ.get("HF_ENDPOINT", HUB).rstrip("/"), f"{repository.id}: {file.name}"
    url = hf_hub_url(repository.id, file.name, revision=repository.revision, endpoint=endpoint)
    with _explained(label):
        found = get_hf_file_metadata(url, timeout=TIMEOUT_S, endpoint=endpoint)
    if found.etag is None or found.size is None:
        raise ValueError(f"{label}: {endpoint} does not answer as the hub does; check HF_ENDPOINT and proxies")
    # The hub gives large files' sha256; before gigabytes are fetched in vain.
    if re.fullmatch("[0-9a-f]{64}", found.etag) and found.etag != file.sha256:
        raise ValueError(f"{label}: the hub has sha256 {found.etag}, published is {file.sha256}; not fetched")
    return Remote(label, url, found.size, file.sha256)


def download(remote: Remote, target: Path, advance: Callable[[int], None]) -> None:
    """Fetches what is still missing of a file, and puts it in place when it is whole and right.

    Args:
        remote: What to fetch.
        target: Where to put it.
        advance: Called with the number of chunks that arrived, the last of which may be short.

    Raises:
        ValueError: It did not arrive whole, which the next call continues; or its bytes are wrong, which the next call
            fetches again.
    """
    part = remote.part(target)
    part.parent.mkdir(parents=True, exist_ok=True)
    with _explained(remote.label):
        _complete(remote, part, advance)
    _check(remote, part)
    part.replace(target)


def _complete(remote: Remote, part: Path, advance: Callable[[int], None]) -> None:
    """Asks again, for what is missing, when a line breaks."""
    for attempt in range(ATTEMPTS):
        try:
            return _receive(remote, part, advance)
        except httpx.TransportError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE_S)


def _receive(remote: Remote, part: Path, advance: Callable[[int], None]) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start >= remote.size:
        return
    headers = build_hf_headers() | {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    with get_session().stream("GET", remote.url, headers=headers, timeout=TIMEOUT_S) as answer:
        hf_raise_for_status(answer)
        # A server that does not know ranges sends everything again.
        with part.open("ab" if answer.status_code == httpx.codes.PARTIAL_CONTENT else "wb") as file:
            for chunk in answer.iter_raw(CHUNK_BYTES):
                file.write(chunk)
                advance(1)
            file.flush()
            os.fsync(file.fileno())


def _check(remote: Remote, part: Path) -> None:
    """Refuses what arrived if it is not what is published, and deletes it if it cannot become that."""
    size = part.stat().st_size
    if size < remote.size:
        raise ValueError(f"{remote.label}: {size} of {remote.size} bytes arrived; the same command continues")
    with part.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != remote.sha256:
        part.unlink()
        raise ValueError(
            f"{remote.label}: what arrived has sha256 {sha256}, published is {remote.sha256}; "
            "it was deleted, the same command fetches it again"
        )


@contextmanager
def _explained(label: str) -> Iterator[None]:
    """Turns what the hub's client raises into what a user can do."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ValueError(f"{label}: HF_HUB_OFFLINE forbids downloads; unset it, {_INSTEAD}") from error
    except (EntryNotFoundError, RevisionNotFoundError) as error:
        raise ValueError(f"{label}: the hub has it no more; {_INSTEAD.removeprefix('or ')}") from error
    except HfHubHTTPError as error:
        raise ValueError(f"{label}: {_advice(error.response.status_code, label.partition(':')[0])}") from error
    except (httpx.HTTPError, ConnectionError) as error:
        reason = str(error) or type(error).__name__
        again = f"the same command continues when it is, {_INSTEAD}"
        raise ValueError(f"{label}: the hub cannot be reached ({reason}); {again}") from error


def _advice(status: int, repository: str) -> str:
    if status in (401, 403):
        terms = f"accept the terms on {HUB}/{repository}, then log in (hf auth login) or set HF_TOKEN"
        return f"the hub wants to know who asks ({status}): {terms}, {_INSTEAD}"
    return f"the hub answers {status}; try again later, {_INSTEAD}"
