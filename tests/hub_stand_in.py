"""A hub on this machine: repositories of files at one commit, served as huggingface.co serves them.

Large files are answered by a redirect to another host and known by their sha256, others directly and by git's digest.
It can break off, damage what it sends, hide repositories behind a gate, and refuse ranges. Repositories can be made and
files committed to them: small ones inside the commit, large ones to the other host before it.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["HubStandIn", "Shelf", "serving"]

LFS_FROM_BYTES = 10_000


@dataclass
class Shelf:
    """A repository: its files at one commit."""

    commit: str
    files: Mapping[str, bytes]
    private: bool = False
    messages: list[str] = field(default_factory=list)


@dataclass
class HubStandIn:
    """What the hub has, how it misbehaves, and what was asked of it.

    Attributes:
        shelves: By `owner/name`.
        status: Answer everything with this status instead.
        error_code: The hub's word for it, such as `GatedRepo`.
        cut_after: Break off each answer after so many bytes.
        cuts: How many answers still break off.
        damaged: Flip a bit of each file.
        ranges: Whether parts of files can be asked for.
        asked: Method, path and range of every request.
        tokens: What requests to the hub were authorised with.
        blob_tokens: What requests to the other host were authorised with, which no token should reach.
        blobs: Large files that were sent and belong to no commit yet, by sha256.
        sizes: What the listing says of a file's size instead of the truth, by name.
        url: Where it is served.
        blobs_url: The other host's.
    """

    shelves: dict[str, Shelf] = field(default_factory=dict)
    status: int | None = None
    error_code: str = ""
    cut_after: int | None = None
    cuts: int = 0
    damaged: bool = False
    ranges: bool = True
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    blob_tokens: list[str | None] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int | None] = field(default_factory=dict)
    url: str = ""
    blobs_url: str = ""

    def file(self, repository: str, revision: str, name: str) -> tuple[Shelf, bytes] | str:
        """The file, or the hub's word for why there is none."""
        shelf = self.shelves.get(repository)
        if shelf is None:
            return "RepoNotFound"
        if revision not in ("main", shelf.commit):
            return "RevisionNotFound"
        return (shelf, shelf.files[name]) if name in shelf.files else "EntryNotFound"


@contextmanager
def serving(hub: HubStandIn) -> Iterator[HubStandIn]:
    """Serves it on a free port of this machine; its address is `hub.url`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url, hub.blobs_url = (f"http://{host}:{server.server_port}" for host in ("127.0.0.1", "localhost"))
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: HubStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        path, hub, data = self.path.partition("?")[0], self.hub, self._body()
        hub.asked.append((self.command, path, ""))
        hub.tokens.append(self.headers.get("Authorization"))
        if hub.status is not None:
            return self._send(hub.status, b"", {"X-Error-Code": hub.error_code} if hub.error_code else {})
        if path == "/api/validate-yaml":
            return self._send_json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(data))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._send_json({"objects": [self._upload(each) for each in json.loads(data)["objects"]]})
        repository, _, action = path.removeprefix("/api/models/").rpartition("/main")[0].rpartition("/")
        if action == "preupload":
            return self._send_json({"files": [_mode(file) for file in json.loads(data)["files"]]})
        self._commit(repository, [json.loads(line) for line in data.splitlines()])

    def do_PUT(self) -> None:
        self.hub.blob_tokens.append(self.headers.get("Authorization"))
        data = self._body()
        self.hub.blobs[hashlib.sha256(data).hexdigest()] = data
        self._send(200, b"", {})

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        chunks = iter(lambda: self.rfile.read(int(self.rfile.readline(), 16) + 2)[:-2], b"")
        return b"".join(chunks)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        made = name not in self.hub.shelves
        self.hub.shelves.setdefault(name, Shelf("0" * 40, {}, asked.get("visibility") == "private"))
        self._send_json({"url": f"{self.hub.url}/{name}"}, 200 if made else 409)

    def _upload(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {**asked, "actions": {"upload": {"href": f"{self.hub.blobs_url}/blobs/{asked['oid']}"}}}

    def _commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        shelf = self.hub.shelves[repository]
        values = {kind: [line["value"] for line in lines if line["key"] == kind] for kind in ("file", "lfsFile")}
        small = {file["path"]: base64.b64decode(file["content"]) for file in values["file"]}
        large = {file["path"]: self.hub.blobs.pop(file["oid"]) for file in values["lfsFile"]}
        shelf.files = {**shelf.files, **small, **large}
        shelf.messages.append(lines[0]["value"]["summary"])
        shelf.commit = hashlib.sha1(repr(sorted(shelf.files.items())).encode(), usedforsecurity=False).hexdigest()
        self._send_json({"commitUrl": f"{self.hub.url}/{repository}/commit/{shelf.commit}", "commitOid": shelf.commit})

    def _answer(self) -> None:
        path, hub = self.path.partition("?")[0], self.hub
        hub.asked.append((self.command, path, self.headers.get("Range", "")))
        if path.startswith("/blobs/"):
            hub.blob_tokens.append(self.headers.get("Authorization"))
            return self._send_blob(path.removeprefix("/blobs/"))
        hub.tokens.append(self.headers.get("Authorization"))
        if hub.status is not None:
            return self._send(hub.status, b"", {"X-Error-Code": hub.error_code} if hub.error_code else {})
        if path.startswith("/api/models/"):
            return self._send_listing(path.removeprefix("/api/models/"))
        repository, _, rest = path.strip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        found = hub.file(repository, revision, name)
        if isinstance(found, str):
            return self._send(404, b"", {"X-Error-Code": found})
        self._send_file(*found)

    def _send_listing(self, path: str) -> None:
        repository, _, revision = path.partition("/revision/")
        shelf = self.hub.shelves.get(repository)
        if shelf is None:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if revision not in ("", "main", shelf.commit):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        siblings = [self._sibling(name, data) for name, data in sorted(shelf.files.items())]
        listing = {"id": repository, "sha": shelf.commit, "private": shelf.private, "siblings": siblings}
        self._send_json(listing)

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        file = {"rfilename": name, "size": self.hub.sizes.get(name, len(data))}
        if len(data) < LFS_FROM_BYTES:
            return file
        return file | {"lfs": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 130}}

    def _send_file(self, shelf: Shelf, data: bytes) -> None:
        headers = {"X-Repo-Commit": shelf.commit, "Accept-Ranges": "bytes"}
        if len(data) < LFS_FROM_BYTES:
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
            return self._send_bytes(data, headers | {"ETag": f'"{git}"'})
        sha256 = hashlib.sha256(data).hexdigest()
        linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{sha256}"'}
        self._send(302, b"", headers | linked | {"Location": f"{self.hub.blobs_url}/blobs/{sha256}"})

    def _send_blob(self, sha256: str) -> None:
        files = (data for shelf in self.hub.shelves.values() for data in shelf.files.values())
        data = next((data for data in files if hashlib.sha256(data).hexdigest() == sha256), None)
        if data is None:
            return self._send(404, b"", {})
        self._send_bytes(data, {"ETag": f'"{sha256}"'})

    def _send_bytes(self, data: bytes, headers: dict[str, str]) -> None:
        if self.hub.damaged:
            data = bytes([data[0] ^ 1]) + data[1:]
        start = self.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
        if start and self.hub.ranges:
            span = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return self._send(206, data[int(start) :], headers | span)
        self._send(200, data, headers)

    def _send_json(self, document: object, status: int = 200) -> None:
        self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.hub.cut_after
        if cut is not None and self.hub.cuts > 0 and len(body) > cut:
            self.hub.cuts -= 1
            self.wfile.write(body[:cut])
            self.close_connection = True
            return
        self.wfile.write(body)


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["size"] >= LFS_FROM_BYTES else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
