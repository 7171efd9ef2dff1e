"""Streams from a place that loses, cuts, swaps and plants: the local reader's samples, or an error with the URL."""

from __future__ import annotations

import bz2
import functools
import gzip
import http.server
import io
import json
import lzma
import os
import pickle
import resource
import shutil
import socketserver
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import artifacts
from pipeline.artifacts import ArtifactError
from pipeline.shards import remote, stream
from pipeline.shards.epochs import EpochError
from pipeline.shards.reader import ShardSet
from pipeline.shards.stream import ShardStream


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; breaks off after :attr:`limit` bytes of a tar, goes on where asked if :attr:`ranges`."""

    limit, ranges, asked = 0, False, []  # noqa: RUF012 - set anew for each test

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        Handler.asked.append((self.path, self.headers.get("Range")))
        path = Path(self.translate_path(self.path))
        if self.path == "/moved/manifest.json":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        if path.suffix != ".tar" or not path.is_file():
            super().do_GET()
            return
        data, start = path.read_bytes(), 0
        if self.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + self.limit if self.limit else len(data)
        self.wfile.write(data[start:end])
        self.wfile.flush()
        self.close_connection = True


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """serve(folder, limit=0, ranges=False) -> URL on 127.0.0.1."""
    servers = []
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def start(folder: Path, limit: int = 0, ranges: bool = False) -> str:
        for name, value in {"limit": limit, "ranges": ranges, "asked": []}.items():
            monkeypatch.setattr(Handler, name, value)
        server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def everything(url: str, **options: Any) -> list[stream.Streamed]:
    """All samples of all shards, in order."""
    read = ShardStream(url, timeout=300, **options)  # a loaded machine decides nothing
    return [sample for index in range(len(read.shards)) for sample in read.shard(index)]


def assert_same(samples: list[stream.Streamed], shards: ShardSet) -> None:
    assert [sample.key for sample in samples] == shards.keys
    for index, sample in enumerate(samples):
        assert sample.data == shards.read(index)
    for index in range(0, len(samples), 41):
        assert np.array_equal(samples[index].image(), shards.image(index))


def resign(folder: Path, shard: str, **changes: Any) -> None:
    """The manifest of someone who can write it: the shard's record is what the files are now, or what is given."""
    content, shards = json.loads((folder / "manifest.json").read_text()), []
    del content["seal"]
    for entry in content["shards"]:
        if entry["name"] == shard:
            path = folder / shard
            now = {"bytes": path.stat().st_size, "sha256": changes.get("sha256") or artifacts.sha256_file(path)}
            entry = {**entry, **now, **changes}
        shards.append(entry)
    artifacts.write_checksummed(folder / "manifest.json", {**content, "shards": shards})


# --- the same samples


def test_http_gives_the_samples_of_the_local_reader(undisturbed: Path, serve: Any) -> None:
    shards = ShardSet(undisturbed / "distorted")
    url = serve(undisturbed)
    samples = everything(f"{url}/distorted/")
    assert_same(samples, shards)
    assert [sample.label for sample in samples] == shards.labels.tolist()
    assert [sample.record for sample in samples] == shards.table["record"].to_pylist()
    assert len(ShardStream(f"{url}/distorted")) == 630


def test_a_file_url_gives_them_too(undisturbed: Path) -> None:
    url = (undisturbed / "sources").as_uri()
    samples = everything(url)
    assert_same(samples, ShardSet(undisturbed / "sources"))
    assert {sample.label for sample in samples} == {None} and json.loads(samples[2].record)["id"] == "noise-2"


def test_a_broken_connection_is_taken_up_where_it_broke(undisturbed: Path, serve: Any) -> None:
    shards, size = ShardSet(undisturbed / "distorted"), 400_000
    assert max(shard.bytes for shard in shards.shards) < 4 * size
    assert_same(everything(f"{serve(undisturbed, size, ranges=True)}/distorted"), shards)
    again = [int(asked.split("=")[1][:-1]) for _, asked in Handler.asked if asked]
    assert again and set(again) <= {size, 2 * size, 3 * size}


def test_it_is_given_up_where_it_breaks_too_often(undisturbed: Path, serve: Any) -> None:
    with pytest.raises(ArtifactError, match=r"00000.tar: cut: 80000 of \d+ bytes, then the end$"):
        everything(f"{serve(undisturbed, 20_000, ranges=True)}/distorted")
    with pytest.raises(ArtifactError, match=r"00000.tar: cut: 20000 of \d+ bytes.*the server does not go on from"):
        everything(f"{serve(undisturbed, 20_000)}/distorted")


# --- the order


@settings(max_examples=12)
@given(st.integers(0, 2**40), st.integers(0, 9), st.integers(1, 5), st.integers(1, 4), st.data())
def test_an_epoch_gives_each_sample_once_and_resumes_exactly(
    undisturbed: Path, seed: int, epoch: int, lanes: int, parts: int, data: st.DataObject
) -> None:
    read = ShardStream((undisturbed / "distorted").as_uri())
    order = {"seed": seed, "epoch": epoch, "lanes": lanes, "parts": parts}
    seen = [[sample.key for sample in read.epoch(**order, part=part)] for part in range(parts)]
    assert Counter(key for part in seen for key in part) == Counter(ShardSet(undisturbed / "distorted").keys)
    part = data.draw(st.integers(0, parts - 1))
    start = data.draw(st.integers(0, len(seen[part])))
    assert [sample.key for sample in read.epoch(**order, part=part, start=start)] == seen[part][start:]
    even = [[sample.key for sample in read.epoch(**order, part=part, even=True)] for part in range(parts)]
    assert even == [part[: min(map(len, seen))] for part in seen]


def test_epochs_differ_and_lanes_mix_shards(undisturbed: Path) -> None:
    read = ShardStream((undisturbed / "distorted").as_uri())
    one, other = ([sample.name.split(":")[1] for sample in read.epoch(1, epoch)] for epoch in (0, 1))
    assert one != other
    assert len(set(one[:40])) == 4  # a shard has 126 or 63 samples


def test_a_resume_fetches_no_shard_that_is_done(undisturbed: Path, serve: Any) -> None:
    read = ShardStream(f"{serve(undisturbed)}/distorted")
    assert len(list(read.epoch(3, 0, lanes=1, start=600))) == 30
    assert len([path for path, _ in Handler.asked if path.endswith(".tar")]) == 1


@pytest.mark.parametrize("order", [{"parts": 7}, {"part": 2, "parts": 2}, {"lanes": 0}, {"start": -1}], ids=str)
def test_an_order_that_cannot_be_is_refused(undisturbed: Path, order: dict) -> None:
    with pytest.raises(EpochError, match="of 6 shards"):
        ShardStream((undisturbed / "distorted").as_uri()).epoch(0, 0, **order)


# --- what is planted


class Planted:
    """Pickles as a call that leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def plant(path: Path, name: str, data: bytes, at: int, kind: bytes = tarfile.REGTYPE) -> None:
    """Rewrite a tar with a further member before the ``at``-th."""
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar.getmembers()]
    planted = tarfile.TarInfo(name)
    planted.size, planted.type, planted.linkname = len(data), kind, "/etc/hostname" if kind != tarfile.REGTYPE else ""
    members.insert(at, (planted, data))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("extension", ["pyd", "pkl", "pickle", "pth", "npy", "qoi.gz", "txt"])
@pytest.mark.parametrize("resealed", [False, True], ids=["as found", "with a manifest that fits"])
def test_a_planted_member_is_refused_by_name_and_never_run(
    extension: str, resealed: bool, copy: Path, tmp_path: Path, serve: Any
) -> None:
    path, trace = copy / "sources" / "sources-00000.tar", tmp_path / "ran"
    plant(path, f"000000.{extension}", pickle.dumps(Planted(trace)), at=1)
    if resealed:
        resign(copy / "sources", path.name)
    place = f"sources-00000.tar: member '000000.{extension}' is refused, where '000000.qoi' is due"
    for url in (serve(copy / "sources"), (copy / "sources").as_uri()):
        with pytest.raises(ArtifactError, match=place):
            everything(url)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["../000000.json", "/etc/passwd", "000000.json/x", "000000.JSON", "x" * 90])
def test_member_names_are_those_of_the_table(name: str, copy: Path) -> None:
    path = copy / "sources" / "sources-00000.tar"
    plant(path, name, b"{}", at=1)
    resign(copy / "sources", path.name)
    with pytest.raises(ArtifactError, match=f"member '{name}' is refused, where '000000.qoi' is due"):
        everything((copy / "sources").as_uri())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.DIRTYPE])
def test_what_the_library_passes_over_is_found_by_the_sum(kind: bytes, copy: Path) -> None:
    path = copy / "sources" / "sources-00000.tar"
    plant(path, "000000.pyd", b"", at=1, kind=kind)
    with pytest.raises(ArtifactError, match=r"sources-00000.tar: (more than|damaged|the tar ends|cut|member)"):
        everything((copy / "sources").as_uri())


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_shard_is_refused(pack: Any, copy: Path) -> None:
    path = copy / "sources" / "sources-00000.tar"
    path.write_bytes(pack(path.read_bytes()))
    resign(copy / "sources", path.name)
    with pytest.raises(ArtifactError, match="sources-00000.tar: not a plain tar"):
        everything((copy / "sources").as_uri())


def oversized(kind: bytes) -> bytes:
    """The header of a member of 4 GiB: plain; sparse, so that none of it is in the tar; or a name as long."""
    info = tarfile.TarInfo("000000.json")
    info.size, info.type, info.mode = 0 if kind == tarfile.GNUTYPE_SPARSE else 2**32, kind, 0o444
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if kind == tarfile.GNUTYPE_SPARSE:
        head[483:495] = b"\x80" + (2**32).to_bytes(11, "big")  # its length when unpacked
        head[148:156] = b"%06o\0 " % (sum(head) - sum(head[148:156]) + 8 * ord(" "))
    return bytes(head)


def forged_table(folder: Path, **columns: list[Any]) -> None:
    """Other values in the first shard's table, which the manifest then lists."""
    path = folder / "sources-00000.parquet"
    table = artifacts.read_table(path)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
    artifacts.write_table(path, table)
    resign(folder, "sources-00000.tar", companions={path.name: artifacts.sha256_file(path)})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.REGTYPE, "member '000000.json' is refused: its place, length or kind is not what the table says"),
        (tarfile.GNUTYPE_SPARSE, "member '000000.json' is refused: its place, length or kind is not"),
        (tarfile.GNUTYPE_LONGNAME, r"a member before byte \d{7} is longer than its table says"),
    ],
    ids=["plain", "sparse", "name"],
)
def test_a_member_longer_than_its_table_says_does_not_fill_the_memory(kind: bytes, message: str, copy: Path) -> None:
    everything((copy / "sources").as_uri())  # imports what it needs
    path = copy / "sources" / "sources-00000.tar"
    with open(path, "wb") as file:
        file.write(oversized(kind))
        file.truncate(2**32 + 2**20)  # sparse
    resign(copy / "sources", path.name, sha256="0" * 64)
    before = peak()
    with pytest.raises(ArtifactError, match=f"00000.tar: {message}"):
        everything((copy / "sources").as_uri())
    assert peak() - before < 2**28


def peak() -> int:
    """Bytes of memory that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("offsets", [[2**40, 2**40], [-512, 0], [513, 5000]], ids=str)
def test_a_table_that_places_members_elsewhere_is_refused(offsets: list[int], copy: Path) -> None:
    """An offset far off would allow for reading that far."""
    forged_table(copy / "sources", offset=offsets)
    with pytest.raises(ArtifactError, match=f"00000.parquet: sample 000000 cannot lie at byte {offsets[0]}"):
        everything((copy / "sources").as_uri())


@pytest.mark.parametrize("column", ["key", "offset", "bytes", "crc32", "recipe"])
@pytest.mark.parametrize("opened", [everything, ShardSet], ids=["stream", "local"])
def test_a_table_with_nulls_is_refused(opened: Any, column: str, copy: Path) -> None:
    forged_table(copy / "sources", **{column: [None, None]})
    folder = copy / "sources"
    with pytest.raises(ArtifactError, match=r"sources-00000.parquet: not a sample table"):
        opened(folder.as_uri() if opened is everything else folder)


def test_a_table_without_a_column_is_refused(copy: Path) -> None:
    path = copy / "sources" / "sources-00000.parquet"
    artifacts.write_table(path, artifacts.read_table(path).drop_columns(["bytes"]))
    resign(copy / "sources", "sources-00000.tar", companions={path.name: artifacts.sha256_file(path)})
    with pytest.raises(ArtifactError, match=r"sources-00000.parquet: not a sample table"):
        everything((copy / "sources").as_uri())


# --- what is damaged


def test_a_shard_cut_at_any_block_is_an_error(copy: Path, serve: Any) -> None:
    folder = copy / "sources"
    path = folder / "sources-00001.tar"
    whole = path.read_bytes()
    assert len(whole) // 512 <= 40
    urls = [folder.as_uri(), serve(folder)]
    for cut in sorted({block * 512 + off for block in range(len(whole) // 512 + 1) for off in (-1, 0, 1)}):
        if 0 <= cut < len(whole):
            path.write_bytes(whole[:cut])
            for url in urls if cut % 512 == 0 else urls[:1]:
                with pytest.raises(ArtifactError, match=f"sources-00001.tar: cut: {cut} of {len(whole)} bytes"):
                    everything(url)


def test_a_cut_shard_with_a_record_that_fits_is_an_error(copy: Path) -> None:
    """At member boundaries the library says nothing: the table does."""
    path = copy / "sources" / "sources-00001.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        starts = [member.offset for member in tar.getmembers()]
    for cut in starts[1:]:
        path.write_bytes(whole[:cut])
        resign(copy / "sources", path.name)
        with pytest.raises(ArtifactError, match=r"sources-00001.tar: (the tar ends after \d of 2 samples|sample 0000)"):
            everything((copy / "sources").as_uri())


def test_a_flipped_bit_is_an_error(copy: Path) -> None:
    folder = copy / "sources"
    path = folder / "sources-00000.tar"
    whole = path.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(whole), 150, replace=False).tolist():
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match="sources-00000.tar: "):
            everything(folder.as_uri())


def test_a_damaged_sample_is_not_given_out_and_those_before_it_are(copy: Path) -> None:
    shards = ShardSet(copy / "sources")
    path = copy / "sources" / "sources-00001.tar"
    data = bytearray(path.read_bytes())
    data[int(shards.table["offset"][3].as_py()) + 100] ^= 1
    path.write_bytes(data)
    given = []
    with pytest.raises(ArtifactError, match="sources-00001.tar: sample 000003 is damaged"):
        for sample in ShardStream((copy / "sources").as_uri()).shard(1):
            given.append(sample.key)
    assert given == ["000002"]


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_an_epoch_checks_the_ends_of_its_last_shards(lanes: int, copy: Path) -> None:
    path = copy / "sources" / "sources-00002.tar"
    whole = path.read_bytes()
    for changed, message in ((whole[:-1] + b"x", "damaged"), (whole + b"x", "more than the")):
        path.write_bytes(changed)
        for epoch in range(6):  # the shard is the last of a lane in some
            with pytest.raises(ArtifactError, match=f"sources-00002.tar: {message}"):
                list(ShardStream((copy / "sources").as_uri()).epoch(0, epoch, lanes=lanes))


def test_swapped_shards_are_an_error(copy: Path) -> None:
    folder = copy / "sources"
    shutil.copy(folder / "sources-00001.tar", folder / "sources-00000.tar")
    with pytest.raises(ArtifactError, match="00000.tar: member '000002.json' is refused, where '000000.json' is due"):
        everything(folder.as_uri())


def test_other_records_in_the_tar_than_in_the_table_are_an_error(copy: Path) -> None:
    path = copy / "sources" / "sources-00000.tar"
    path.write_bytes(path.read_bytes().replace(b'"id":"noise-0"', b'"id":"noise-9"'))
    resign(copy / "sources", path.name)
    with pytest.raises(ArtifactError, match="sample 000000: its json or cls is not what its table says"):
        everything((copy / "sources").as_uri())


def test_a_damaged_table_is_an_error(copy: Path) -> None:
    path = copy / "sources" / "sources-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="sources-00001.parquet: damaged"):
        everything((copy / "sources").as_uri())


# --- the place


def test_a_known_fingerprint_pins_everything(copy: Path) -> None:
    folder = copy / "sources"
    known = ShardSet(folder).fingerprint
    assert len(everything(folder.as_uri(), fingerprint=known)) == 5
    resign(folder, "sources-00000.tar", samples=1)
    with pytest.raises(ArtifactError, match="manifest.json: its sha256 is .*, not the one that was asked for"):
        ShardStream(folder.as_uri(), fingerprint=known)


@pytest.mark.parametrize(
    "changes",
    [{"name": "../sources-00000.tar"}, {"name": "x.tar"}, {"bytes": -1}, {"samples": "2"}, {"companions": {"/x": ""}}]
    + [{"companions": ["sources-00000.parquet"]}, {"companions": None}, {"sha256": 5}, {"left_out": []}],
    ids=str,
)
def test_a_manifest_that_leads_elsewhere_is_refused(changes: dict, copy: Path) -> None:
    resign(copy / "sources", "sources-00000.tar", **changes)
    with pytest.raises(ArtifactError, match="manifest.json: the record of '.*' is refused"):
        ShardStream((copy / "sources").as_uri())


def test_a_broken_manifest_is_refused_with_its_url(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy / "sources" / "manifest.json"
    whole = path.read_text()
    for text, message in (
        (whole[:-9], "broken JSON"),
        (whole.replace("qoi", "png"), "its checksum is wrong"),
        ("[" * 200_000, "broken JSON"),
        ('{"seal": %s}' % ("9" * 9000), "broken JSON"),
        ('{"samples": NaN, "seal": ""}', "its checksum is wrong"),
    ):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=f"^file:.*sources/manifest.json: .*{message}"):
            ShardStream((copy / "sources").as_uri())
    path.write_text(whole)
    monkeypatch.setattr(stream, "MANIFEST_BYTES", 100)
    with pytest.raises(ArtifactError, match="manifest.json: over the cap of 100 bytes"):
        ShardStream((copy / "sources").as_uri())


@pytest.mark.parametrize("url", ["pipe:touch x", "ftp://127.0.0.1/x", "s3://bucket/x", "data:,x", "-", "some/folder"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(ArtifactError, match="is not one of http, https, file"):
        ShardStream(url)


def test_what_is_not_there_is_an_error_with_its_url(copy: Path, serve: Any) -> None:
    url = serve(copy)
    with pytest.raises(ArtifactError, match=f"{url}/nothing/manifest.json: HTTP 404"):
        ShardStream(f"{url}/nothing")
    with pytest.raises(ArtifactError, match=f"{url}/moved/manifest.json: .*(redirect|302|file)"):
        ShardStream(f"{url}/moved")
    (copy / "sources" / "sources-00001.tar").unlink()
    with pytest.raises(ArtifactError, match=f"{url}/sources/sources-00001.tar: HTTP 404"):
        everything(f"{url}/sources")
    with pytest.raises(ArtifactError, match="127.0.0.1:9/manifest.json: .*refused"):
        ShardStream("http://127.0.0.1:9")
    with pytest.raises(ArtifactError, match="nowhere/manifest.json: .*No such file"):
        ShardStream((copy / "nowhere").as_uri())


def test_a_manifest_lists_what_it_listed(copy: Path) -> None:
    read = ShardStream((copy / "sources").as_uri())
    assert [asdict(shard) for shard in read.shards] == [asdict(shard) for shard in ShardSet(copy / "sources").shards]
