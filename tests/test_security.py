"""What may come in a file from elsewhere is never run: no pickle, no bomb, no name that leads out of its folder."""

from __future__ import annotations

import ast
import os
import pickle
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import artifacts, images
from pipeline.artifacts import ArtifactError
from pipeline.images import ImageError
from pipeline.shards import plan, tables, writer
from pipeline.shards.reader import ShardSet
from pipeline.verify import checks, problems
from tests.shards import stand_in

ROOT = Path(__file__).parents[1]
CODE = sorted(path for folder in ("pipeline", "stages") for path in (ROOT / folder).rglob("*.py"))
# our own checkpoint; import-weights
LOADERS = {"pipeline/training/checkpoint.py", "pipeline/encoder/checkpoint_files.py"}


class Planted:
    """What a pickle runs when it is opened: it leaves a file."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.flag,)


def planted_set(folder: Path, flag: Path, *, as_image: bool) -> ShardSet:
    """A set whose manifest, table and hashes all fit, with pickles among the members or in the image's place."""
    bad = pickle.dumps(Planted(flag))
    image = images.encode(stand_in.NoiseSet(1).make(0)[0])
    members = {end: bad for end in ("pyd", "pkl", "pickle", "pth", "pt")} | {"json": b"{}"}
    row = {"source": 0, "id": "0", "width": 16, "height": 16, "sha256": "", "phash": 0, "recipe": "{}"}
    path = folder / plan.shard_name("sources", 0)
    sample = writer.Sample("000000", bad if as_image else image, members, row)
    meta = writer.write_shard(path, "print", [sample], "qoi", tables.sources())
    artifacts.commit_manifest(folder, [meta], plan.SOURCE_PATTERN, {"set": "planted", "codec": "qoi"})
    return ShardSet(folder)


def test_planted_pickles_are_never_opened(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    read = planted_set(tmp_path / "set", flag, as_image=False)
    assert np.array_equal(read.image(0), stand_in.NoiseSet(1).make(0)[0])
    assert [text for check in checks(read.folder) for text in problems(check)] == []
    assert not flag.exists()
    pickle.loads(pickle.dumps(Planted(flag)))
    assert flag.exists(), "the planted pickle does nothing"


def test_a_pickle_in_an_images_place_is_refused(tmp_path: Path) -> None:
    read = planted_set(tmp_path / "set", tmp_path / "flag", as_image=True)
    with pytest.raises(
        ImageError, match="000000.qoi: a Python pickle, not a PNG, JPEG, WebP, BMP, QOI or JPEG XL file"
    ):
        read.image(0)
    assert not (tmp_path / "flag").exists()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_bomb_in_a_shard_is_refused_before_a_codec_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / plan.shard_name("sources", 0)
    row = {"source": 0, "id": "0", "width": 8, "height": 8, "sha256": "", "phash": 0, "recipe": "{}"}
    sample = writer.Sample("000000", png_header(100_000, 100_000), {}, row)
    meta = writer.write_shard(path, "print", [sample], "png", tables.sources())
    artifacts.commit_manifest(tmp_path, [meta], plan.SOURCE_PATTERN, {"codec": "png"})
    monkeypatch.setattr("pipeline.images.decoding._stored", lambda *_: pytest.fail("a codec saw it"))
    with pytest.raises(ImageError, match="100000 x 100000 is over the cap"):
        ShardSet(tmp_path).image(0)


@pytest.mark.parametrize("name", ["../x.tar", "/etc/passwd", "a/b.tar", "..", ".hidden", "", "x\n.tar", "x\0", 7])
def test_a_record_with_a_name_that_leads_elsewhere_is_refused(name: Any, tmp_path: Path) -> None:
    meta = {"name": "x.tar", "fingerprint": "", "bytes": 0, "sha256": "", "samples": 1, "first_key": "", "last_key": ""}
    for entry in ({**meta, "name": name, "companions": {}}, {**meta, "companions": {str(name): ""}}):
        artifacts.write_checksummed(tmp_path / "manifest.json", {"shards": [{**entry, "left_out": {}}]})
        if entry["name"] == "x.tar" and str(name) == "7":
            continue  # as the name of a companion it is one
        with pytest.raises(ArtifactError, match="manifest.json: the record of .* is refused .*no plain file name"):
            artifacts.read_manifest(tmp_path)


def calls(path: Path) -> list[tuple[ast.Call, str]]:
    nodes = ast.walk(ast.parse(path.read_text(), str(path)))
    return [(node, ast.unparse(node.func)) for node in nodes if isinstance(node, ast.Call)]


def test_torch_load_is_called_on_our_own_checkpoint_and_by_import_weights_alone() -> None:
    found = {path for path in CODE for _, name in calls(path) if name.endswith(("torch.load", "jit.load"))}
    assert {str(path.relative_to(ROOT)) for path in found} <= LOADERS
    for path in found:
        for node, name in calls(path):
            if name == "torch.load":
                assert {k.arg: ast.unparse(k.value) for k in node.keywords}.get("weights_only") == "True", path
    assert "torch.load" not in {ast.unparse(node) for path in CODE if path not in found for node in attributes(path)}


def attributes(path: Path) -> list[ast.Attribute]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_runs_what_it_reads(path: Path) -> None:
    for node, name in calls(path):
        place = f"line {node.lineno}: {name}"
        assert name not in ("eval", "exec", "compile", "os.system", "os.popen", "__import__"), place
        assert not name.endswith((".extractall", "unpack_archive", "hub.load", "jit.load")), place
        assert not any(k.arg == "shell" for k in node.keywords), place
        assert not any(k.arg == "trust_remote_code" for k in node.keywords), place
        if name.endswith("YAML"):
            typ = {k.arg: ast.unparse(k.value) for k in node.keywords}.get("typ")
            assert typ in ("'safe'", "'rt'"), place  # rt: comments are kept, tags of Python objects are not followed
        assert name not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"), place


def test_tables_hold_no_python_objects() -> None:
    for schema in (tables.sources(), tables.distorted()):
        assert not any(isinstance(field.type, pa.BaseExtensionType) for field in schema)


LISTENING = """
import psutil
from pipeline.engine import cluster
ray = cluster.start(1, None)
ray.get(ray.remote(num_cpus=1)(lambda: 1).remote())
for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
    try:
        command, places = " ".join(process.cmdline()), process.net_connections("inet")
    except psutil.NoSuchProcess:  # it ended meanwhile
        continue
    print("process", command[:4000].replace("\\n", " "))
    for place in places:
        if place.status == "LISTEN":
            print("listens", place.laddr.ip)
ray.shutdown()
"""


def test_a_local_ray_listens_on_the_loopback_interface_alone_and_has_no_dashboard(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LISTENING]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    bare["HOME"] = str(tmp_path)  # where Ray would keep a token
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, timeout=600)
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    places = [rest for word, rest in lines if word == "listens"]
    assert len(places) >= 4, done.stderr  # the head's store, the node, the driver and a worker
    assert {re.sub("^::ffff:", "", place) for place in places} == {"127.0.0.1"}
    commands = [rest for word, rest in lines if word == "process"]
    assert any("raylet" in command for command in commands)
    boards = [command for command in commands if "dashboard/dashboard.py" in command]  # it counts usage, were that on
    assert all("--minimal" in command and "--disable-frontend" in command for command in boards)
    assert not list(tmp_path.rglob("*token*"))  # the run's own, in the environment


def test_every_test_that_the_security_document_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 10
    for file, function in named:
        found = {
            node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert function in found, f"{file}::{function}"
