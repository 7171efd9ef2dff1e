"""Bytes from a URL, capped and checked: http, https and file, and nothing that starts a program."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from pipeline.artifacts import ArtifactError, ShardMeta

SCHEMES = ("http", "https", "file")
TRIES = 3  # of going on where a connection broke
PAUSE = 0.5  # seconds before each
PIECE = 2**20  # bytes that are asked for at once
SLACK = 2 * PIECE  # bytes that may be read ahead of a sample: a piece and headers


def fetch(url: str, limit: int, timeout: float) -> bytes:
    """All that lies at ``url``; more than ``limit`` bytes are refused unread."""
    try:
        with open_url(url, timeout) as file:
            data = file.read(limit + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ArtifactError(f"{url}: {error}") from None
    if len(data) > limit:
        raise ArtifactError(f"{url}: over the cap of {limit} bytes")
    return data


def open_url(url: str, timeout: float, start: int = 0) -> BinaryIO:
    """``url`` from byte ``start`` on; :class:`ArtifactError` if it can't be had. ``timeout``: seconds, of each read."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ArtifactError(f"{url}: scheme {parts.scheme!r} is not one of {', '.join(SCHEMES)}")
    try:
        if parts.scheme == "file":
            file = open(urllib.request.url2pathname(parts.path), "rb")
            file.seek(start)
            return file
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        raise ArtifactError(f"{url}: HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ArtifactError(f"{url}: {getattr(error, 'reason', error)}") from None
    if start and response.status != http.client.PARTIAL_CONTENT:
        response.close()
        raise ArtifactError(f"{url}: the server does not go on from byte {start}")
    return cast(BinaryIO, response)


class Whole:
    """A shard from a URL: exactly the bytes of its record, or an :class:`ArtifactError`.

    A broken connection is taken up again where it broke. :attr:`allowed` is how many bytes may be read as yet: a
    member that is longer than its table says is refused before it fills the memory. The sha256 is taken in a thread of
    its own: it is 0.4 of a stream's time.
    """

    def __init__(self, file: BinaryIO, url: str, shard: ShardMeta, timeout: float) -> None:
        self.allowed = SLACK
        self._file, self._url, self._shard, self._timeout = file, url, shard, timeout
        self._place, self._tries = 0, TRIES
        self._sha256, self._hashing = hashlib.sha256(), ThreadPoolExecutor(1)
        self._hashed: Future[None] | None = None  # of the last bytes that were read

    def __str__(self) -> str:
        return self._url

    def __enter__(self) -> Whole:
        return self

    def __exit__(self, *_: object) -> None:
        self._hashing.shutdown()
        self._file.close()

    def piece(self) -> bytes:
        """The next bytes, at most :data:`PIECE`; none at the end."""
        left = min(PIECE, self._shard.bytes - self._place)
        if not left:
            return b""
        if self._place >= self.allowed:
            raise ArtifactError(f"a member before byte {self._place} is longer than its table says")
        data = self._some(left)
        if not self._place and not data[:1].isdigit():  # keys do; gzip, bzip2, xz, ... don't, and tarfile unpacks them
            raise ArtifactError("not a plain tar that begins with a sample")
        if self._hashed:
            self._hashed.result()  # one piece waits at most
        self._hashed = self._hashing.submit(self._sha256.update, data)
        self._place += len(data)
        return data

    def finish(self) -> None:
        """Read what is left, and compare length and sha256 with the record."""
        self.allowed = self._shard.bytes
        while self.piece():
            pass
        if self._file.read(1):
            raise ArtifactError(f"more than the {self._shard.bytes} bytes in the manifest")
        if self._hashed:
            self._hashed.result()
        if self._sha256.hexdigest() != self._shard.sha256:
            raise ArtifactError("damaged (its sha256 is not the manifest's)")

    def _some(self, size: int) -> bytes:
        """1 .. ``size`` bytes."""
        while True:
            try:
                data = self._file.read(size)
                if data:
                    return data
                problem = "the end"
            except (OSError, http.client.HTTPException) as error:
                problem = str(error)
            where = f"{self._place} of {self._shard.bytes} bytes, then {problem}"
            if not self._tries or self._url.startswith("file:"):
                raise ArtifactError(f"cut: {where}")
            self._tries -= 1
            time.sleep(PAUSE)
            self._file.close()
            try:
                self._file = open_url(self._url, self._timeout, self._place)
            except ArtifactError as error:
                raise ArtifactError(f"cut: {where}; {str(error).removeprefix(self._url + ': ')}") from None


def _opener() -> urllib.request.OpenerDirector:
    """urllib's, without the handlers of ftp:, file: and data:, so that no redirection leads there."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
