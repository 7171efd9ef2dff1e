"""Disks that are full and folders that cannot be written to: one error, nothing under a final name, and a rerun heals.

Where the kernel lets the tests mount, a small tmpfs is filled for good. Where it does not, a limit on the size of a
file makes write() fail in the same places; that test always runs.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import artifacts, folders
from pipeline.artifacts import ArtifactError
from tests.shards import stand_in
from tests.shards.stand_in import content

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
LIMITED = """
import resource, signal, sys
from pathlib import Path
from tests.shards import stand_in
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that write() fails with EFBIG instead of a signal
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    stand_in.distort_stage(Path(sys.argv[1]), Path(sys.argv[2]))
except OSError as error:
    print("refused", error.errno)
"""
NOBODY = 65534
WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from tests.shards import stand_in
tasks = stand_in.distort_tasks(Path(sys.argv[1]), Path(sys.argv[2]))
stand_in.distort_stage(Path(sys.argv[1]), Path(sys.argv[4]))  # imports all there is to import, while it may
if os.getuid() == 0:  # the file system's modes bind everyone but root
    try:
        os.setgid(int(sys.argv[3]))
        os.setuid(int(sys.argv[3]))
    except OSError as error:
        sys.exit(f"alone: {error}")
try:
    stand_in.build_distorted(tasks[0])
except OSError as error:
    print("refused", error.errno, error.filename)
"""


def run(code: str, *arguments: object, inside: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=inside, env=variables, capture_output=True, text=True, timeout=600)


def mounted(folder: Path, *options: str) -> None:
    """Mount something on ``folder``, or skip: containers often may not."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"may not mount here ({done.stderr.strip()}); the limit on file sizes is tested beside")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 600 kB, of which the five sources' shards need about 900."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no mount command here; the limit on file sizes is tested beside")
    mounted(folder, "-t", "tmpfs", "-o", "size=600k", "tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def final_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def nothing_wrong_lies_in(folder: Path, undisturbed: Path) -> None:
    """No temporary file, no manifest, and every shard with a record is one of an undisturbed run."""
    names, whole = final_names(folder), content(undisturbed / "distorted")
    assert not any(name.endswith(".tmp") for name in names) and "manifest.json" not in names
    for record in folder.glob("*.meta.json"):
        shard = record.name.removesuffix(".meta.json")
        assert artifacts.sha256_file(folder / shard) == whole[shard]


def test_a_full_disk_stops_the_run_and_more_room_ends_it(small_disk: Path, undisturbed: Path) -> None:
    sources, folder = undisturbed / "sources", small_disk / "distorted"
    with pytest.raises(OSError) as caught:
        stand_in.distort_stage(sources, folder)
    assert caught.value.errno == errno.ENOSPC or "No space left" in str(caught.value)
    assert list(folder.glob("*.meta.json")), "the disk was full before the first shard"
    nothing_wrong_lies_in(folder, undisturbed)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    stand_in.distort_stage(sources, folder)
    assert content(folder) == content(undisturbed / "distorted")


@pytest.mark.parametrize("room", [0, 1000, 20_000, 100_000], ids=lambda room: f"{room} bytes")
def test_a_write_that_fails_leaves_nothing_wrong(room: int, undisturbed: Path, tmp_path: Path) -> None:
    done = run(LIMITED, undisturbed / "sources", tmp_path / "distorted", room)
    assert done.stdout.split() == ["refused", str(errno.EFBIG)], done.stderr
    nothing_wrong_lies_in(tmp_path / "distorted", undisturbed)
    stand_in.distort_stage(undisturbed / "sources", tmp_path / "distorted")
    assert content(tmp_path / "distorted") == content(undisturbed / "distorted")


def test_a_folder_that_may_not_be_written_to_is_named(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "distorted"
    stand_in.distort_stage(undisturbed / "sources", folder)
    (folder / "distorted-00000.tar").unlink()
    sources = shutil.copytree(undisturbed / "sources", tmp_path / "sources")
    for place in (tmp_path, *sources.rglob("*"), sources, *folder.iterdir()):  # whatever the umask was
        place.chmod(place.stat().st_mode | 0o055)
    folder.chmod(0o555)
    done = run(WITHOUT_RIGHTS, sources.name, folder.name, NOBODY, "warm", inside=tmp_path)
    folder.chmod(0o755)
    if done.stderr.startswith("alone"):
        pytest.skip(f"root may be nobody else here ({done.stderr.strip()}), and no mode binds it")
    assert done.stdout.startswith("refused"), done.stderr
    _, number, file = done.stdout.split()
    assert int(number) == errno.EACCES
    assert tmp_path / Path(file).parent == folder
    stand_in.distort_stage(undisturbed / "sources", folder)
    assert content(folder) == content(undisturbed / "distorted")


def test_a_disk_mounted_read_only_is_named(small_disk: Path, undisturbed: Path) -> None:
    folder = small_disk / "distorted"
    folder.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        stand_in.distort_stage(undisturbed / "sources", folder)
    assert str(folder) in str(caught.value.filename)


def test_a_stage_that_will_not_fit_is_refused_before_it_begins(small_disk: Path) -> None:
    with pytest.raises(ArtifactError, match=r"disk: distorting needs about 0.1 GB, 0.0 GB are free"):
        folders.require_space(small_disk, 100_000_000, "distorting")
    assert os.listdir(small_disk) == []
