"""A worker that dies again and again: the message names the very sample, and the command in it makes that sample."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import distortions, images
from pipeline.engine import RETRIES, Engine, EngineError, last_seen
from pipeline.labels import CLASSES
from pipeline.shards.distorted_shards import build_distorted, class_generator
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import SourceJob, build_sources
from tests import engine_tasks
from tests.faults.crash import wait_until
from tests.shards import stand_in

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
SIZE, SOURCE, LABEL = 64, 3, 47  # type 10, level 2
PLACE = "set noise, source 3, type 10, level 2, key 000003-047, seed 11"
REPLAY = "synthetic-iqa remake --set noise --key 000003-047 --seed 11 --out 000003-047.png"


def deadly(image: np.ndarray, random: np.random.Generator, fired: Path, once: bool) -> Iterator[stand_in.Made]:
    """The stand-in's bank, but class 47 of source 3 kills its process (``once``: the first time), as a codec would."""
    doomed = np.array_equal(image, stand_in.NoiseSet(5, SIZE).make(SOURCE)[0]) and not (once and fired.exists())
    for made in stand_in.bank(image, random):
        if doomed and made.label == LABEL:
            with open(fired, "a") as file:
                file.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        yield made


@dataclass(frozen=True)
class DeadlySet(stand_in.NoiseSet):
    """The stand-in's maker, but source 3 kills its process."""

    def make(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """As the stand-in's."""
        if index == SOURCE:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().make(index)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the sources of a set, and the test in it."""
    stand_in.source_stage(tmp_path / "data" / "sources" / "noise", count=5, size=SIZE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["processes", "ray"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    address = request.getfixturevalue("ray_cluster") if request.param == "ray" else None
    return Engine(request.param, 2, address, tmp_path / "data" / ".locks")


def distort(folder: Path, engine: Engine, *, once: bool) -> None:
    data, bank = folder / "data", partial(deadly, fired=folder / "fired", once=once)
    stand_in.distort_stage(data / "sources" / "noise", data / "distorted" / "noise", engine, made_by=bank)


def test_a_class_that_kills_its_worker_is_named_and_its_command_makes_it(
    folder: Path, engine: Engine, capsys: pytest.CaptureFixture[str], synthetic_iqa: Callable[..., Any]
) -> None:
    with pytest.raises(EngineError) as caught:
        distort(folder, engine, once=False)
    dead = (folder / "fired").read_text().split()
    assert len(dead) == len(set(dead)) == RETRIES + 1 and str(os.getpid()) not in dead
    message = str(caught.value)
    assert "died 3 times on one task" in message and "set noise, sources 2 to 3, seed 11" in message
    assert message.endswith(f"; the last time while distorting {PLACE}; to replay it: {REPLAY}")
    told = [line for line in capsys.readouterr().err.splitlines() if " died (" in line]
    assert len(told) == RETRIES and all(f") while distorting {PLACE}; to replay it: {REPLAY}" in line for line in told)
    assert [line.rpartition("; ")[2] for line in told] == ["trying again, 1 of 2", "trying again, 2 of 2"]
    if engine.name == "processes":
        assert all("killed by SIGKILL" in text for text in (message, *told))
    assert list(engine.last_seen.iterdir()) == []

    command = re.search("to replay it: (.*)", message)[1]
    code, _, errors = synthetic_iqa(*shlex.split(command)[1:])
    assert code == 0, errors
    source = ShardSet(folder / "data" / "sources" / "noise").image(SOURCE)
    child = class_generator(11, "noise", SOURCE).spawn(CLASSES)[LABEL]
    made = images.decode((folder / "000003-047.png").read_bytes(), name="made")
    np.testing.assert_array_equal(made, distortions.distort(source, 10, 2, child))


def test_a_class_that_kills_its_worker_once_is_told_and_changes_no_byte(
    folder: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    distort(folder, engine, once=True)
    assert len((folder / "fired").read_text().split()) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if " died (" in line]
    assert len(told) == 1 and PLACE in told[0] and told[0].endswith("trying again, 1 of 2")
    stand_in.distort_stage(folder / "data" / "sources" / "noise", folder / "calm")
    assert stand_in.content(folder / "data" / "distorted" / "noise") == stand_in.content(folder / "calm")
    assert list(engine.last_seen.iterdir()) == []


def test_a_source_that_kills_its_worker_is_named(tmp_path: Path) -> None:
    tasks = SourceJob("noise", DeadlySet(5), tmp_path / "noise", "qoi").tasks(2)
    with pytest.raises(EngineError, match="; the last time while making source 3, key 000003, of .*noise$"):
        Engine("processes", 2, last_seen=tmp_path / "locks").map(build_sources, tasks, describe="sources")


def test_without_a_folder_for_notes_the_task_is_named(folder: Path) -> None:
    with pytest.raises(EngineError, match=r"one task \(killed by SIGKILL\): set noise, sources 2 to 3, seed 11$"):
        distort(folder, Engine("processes", 2), once=False)


def test_a_death_that_leaves_no_note_is_not_told_with_an_earlier_ones(tmp_path: Path) -> None:
    tasks = [(number, str(tmp_path / "flag")) for number in range(3)]
    with pytest.raises(EngineError) as caught:
        Engine("processes", 2, last_seen=tmp_path / "locks").map(engine_tasks.say_and_die, tasks, describe="die")
    assert (tmp_path / "flag").exists() and "the last time" not in str(caught.value)


def test_what_a_killed_driver_leaves_goes_with_the_next_run_and_what_a_living_one_holds_does_not(
    tmp_path: Path,
) -> None:
    code = "import sys; from tests.engine_tasks import main; main('processes', sys.argv[1], sys.argv[2])"
    (tmp_path / "ticks").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "ticks"), str(tmp_path / "locks")]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as driver:
        try:
            wait_until(lambda: any((tmp_path / "ticks").iterdir()), "the first write")
            (left,) = (tmp_path / "locks").iterdir()
            with last_seen.opened(tmp_path / "locks") as own:  # another set's, beside
                assert set((tmp_path / "locks").iterdir()) == {left, Path(own.path)}
        finally:
            driver.kill()
    assert list((tmp_path / "locks").iterdir()) == [left]
    with last_seen.opened(tmp_path / "locks") as own:
        assert list((tmp_path / "locks").iterdir()) == [Path(own.path)]
    assert list((tmp_path / "locks").iterdir()) == []


def test_notes_of_one_task_are_the_last_ones_and_no_other_tasks(tmp_path: Path) -> None:
    with last_seen.opened(tmp_path) as notes:
        for index, texts in ((2, ["a long one, in which the next one lies", "short"]), (0, ["ä" * 5000])):
            with last_seen.recording(notes.path, index):
                for text in texts:
                    last_seen.note(text)
        last_seen.note("of nobody's")
        assert [notes.of(index) for index in range(4)] == ["ä" * (last_seen.PAGE // 2 - 1), "", "short", ""]
        notes.clear(2)
        assert notes.of(2) == ""
        with last_seen.recording(str(tmp_path / "of another machine"), 1):
            last_seen.note("unheard")
    assert list(tmp_path.iterdir()) == []


def test_a_single_task_leaves_nothing_anywhere(folder: Path) -> None:
    """It runs in the driver, whose own death nobody would read of."""
    tasks = stand_in.distort_tasks(folder / "data" / "sources" / "noise", folder / "distorted", block=5)
    Engine("processes", 2, last_seen=folder / "locks").map(build_distorted, tasks, describe="one")
    assert len(tasks) == 1 and not (folder / "locks").exists()
