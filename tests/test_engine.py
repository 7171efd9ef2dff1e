"""The three engines give the same results in the same order, and the first error of a task comes out as itself."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.engine import Engine, EngineError, cluster, progress
from pipeline.engine.cluster import WINDOW
from tests import engine_tasks

LOCAL = [("serial", 1), ("processes", 1), ("processes", 2), ("processes", 3)]


@pytest.mark.parametrize(("name", "workers"), LOCAL)
def test_results_come_in_the_order_of_the_tasks(name: str, workers: int) -> None:
    tasks = list(range(17))
    assert Engine(name, workers).map(engine_tasks.square, tasks, describe="square") == [n * n for n in tasks]


def test_ray_on_its_own_gives_the_same_results_at_the_priority_of_the_stage() -> None:
    results = Engine("ray", 2).map(engine_tasks.square_and_niceness, list(range(17)), describe="square")
    assert results == [(n * n, os.nice(0)) for n in range(17)]


def test_ray_on_a_cluster_gives_the_same_results(ray_cluster: str) -> None:
    tasks = list(range(17))
    assert Engine("ray", 2, ray_cluster).map(engine_tasks.square, tasks, describe="square") == [n * n for n in tasks]


@pytest.mark.parametrize("name", ["serial", "processes", "ray"])
def test_a_python_error_comes_out_as_itself_with_its_note(name: str, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue("ray_cluster") if name == "ray" else None
    with pytest.raises(engine_tasks.Unlucky) as caught:
        Engine(name, 2, address).map(engine_tasks.fail_on_three, list(range(8)), describe="fail")
    assert type(caught.value) is engine_tasks.Unlucky and str(caught.value) == "three"
    assert caught.value.__notes__ == ["while testing"]


@pytest.mark.parametrize("name", ["serial", "processes", "ray"])
def test_an_error_stops_the_run_and_is_not_retried(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue("ray_cluster") if name == "ray" else None
    with pytest.raises(engine_tasks.Unlucky):
        tasks = [(number, str(tmp_path)) for number in range(400)]
        Engine(name, 2, address).map(engine_tasks.record_and_fail, tasks, describe="fail")
    started = sorted(path.name for path in tmp_path.iterdir())
    assert sum(name.startswith("0-") for name in started) == 1
    assert len(started) <= 2 * WINDOW + 96  # of 400: what was in flight, and what a slow driver let through


@pytest.mark.parametrize("name", ["serial", "processes"])
def test_a_task_that_asks_to_exit_is_an_error_and_no_end_of_the_run(name: str) -> None:
    with pytest.raises(EngineError, match=r"a task asked to exit \(0\): 1"):
        Engine(name, 2).map(engine_tasks.leave, [0, 1, 2], describe="leave")


@pytest.mark.parametrize(
    ("first", "message"), [(1, "Stubborn: this and that"), (2, "Unlucky: "), (3, "TypeError: "), (4, "Speechless")]
)
def test_what_cannot_be_sent_back_is_an_error_in_words(first: int, message: str) -> None:
    with pytest.raises(RuntimeError, match=message) as caught:
        Engine("processes", 2).map(engine_tasks.cannot_be_sent, [first, 0], describe="send")
    assert not isinstance(caught.value, EngineError) and multiprocessing.active_children() == []
    if first == 1:
        assert "while being stubborn" in str(caught.value)
        assert "in cannot_be_sent" in str(caught.value.__cause__)


def test_a_run_ends_although_children_of_its_tasks_live_on() -> None:
    children = Engine("processes", 2).map(engine_tasks.leave_a_child, [1, 2], describe="fork")
    for child in children:
        os.kill(child, signal.SIGKILL)  # ProcessLookupError if the run had waited for its end


def test_the_workers_leave_ctrl_c_to_the_driver() -> None:
    assert Engine("processes", 2).map(engine_tasks.blocks_ctrl_c, [1, 2, 3, 4], describe="mask") == [True] * 4


def test_a_crumb_of_a_name_that_is_no_text_fails_nothing(tmp_path: Path) -> None:
    engine = Engine("processes", 2, last_seen=tmp_path)
    assert engine.map(engine_tasks.leave_an_odd_note, [1, 2], describe="notes") == [1, 2]


def test_a_task_that_cannot_be_sent_is_its_own_error_and_leaves_no_worker() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        Engine("processes", 2).map(engine_tasks.square, [threading.Lock(), threading.Lock()], describe="send")  # type: ignore[list-item]
    assert multiprocessing.active_children() == []


def test_an_error_shows_where_in_the_worker_it_was() -> None:
    with pytest.raises(engine_tasks.Unlucky) as caught:
        Engine("processes", 2).map(engine_tasks.fail_on_three, list(range(8)), describe="fail")
    assert "in fail_on_three" in str(caught.value.__cause__) and multiprocessing.active_children() == []


def test_a_worker_that_exits_is_told_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError, match=r"^a worker process died 3 times on one task \(exit code 3\): 1$"):
        Engine("processes", 2).map(engine_tasks.exit_hard, [0, 1, 2], describe="exit")
    assert "a worker process died (exit code 3) on 1; trying again, 1 of 2" in capsys.readouterr().err
    assert multiprocessing.active_children() == []


def test_a_death_is_seen_though_a_child_of_the_workers_holds_its_pipe(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    tasks = [(number, str(flag)) for number in range(3)]
    try:
        assert Engine("processes", 2).map(engine_tasks.die_and_leave_a_child, tasks, describe="die") == [0, 1, 2]
    finally:
        os.kill(int(flag.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("name", ["serial", "processes", "ray"])
def test_no_task_and_one_task_need_no_pool(name: str) -> None:
    assert Engine(name, 2).map(engine_tasks.square, [], describe="none") == []
    assert Engine(name, 2).map(engine_tasks.square, [7], describe="one") == [49]
    here = Engine(name, 2).map(_thread_of, [0], describe="here")
    assert here == [threading.get_ident()]


def _thread_of(_: int) -> int:
    return threading.get_ident()


def test_what_cannot_be_an_engine_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="'slurm' is not one of serial, processes, ray"):
        Engine("slurm")
    with pytest.raises(EngineError, match="workers: 0 is not >= 1"):
        Engine("processes", 0)


THREADS = """
from pipeline.engine import Engine
from tests.engine_tasks import threads
found = Engine({name!r}, 2).map(threads, [1, 2, 3], describe="threads")
print(sum(len(pools) for pools in found), {{count for pools in found for count in pools.values()}})
"""


@pytest.mark.parametrize("name", ["processes", "ray"])
def test_a_worker_has_one_thread_in_every_library(name: str, tmp_path: Path) -> None:
    bare = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    script = tmp_path / "script.py"  # a worker imports its parent's main module by its file
    guarded = THREADS.format(name=name).strip().replace("\n", "\n    ")
    script.write_text(f"if __name__ == '__main__':\n    {guarded}\n")
    bare["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, str(script)], env=bare, capture_output=True, text=True, timeout=600)
    count, found = done.stdout.split(maxsplit=1)
    assert int(count) >= 3 * 3 and found.strip() == "{1}", done.stderr  # cv2, numba and a BLAS at least


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def nobody(**_: object) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(EngineError, match="no Ray cluster answers at 127.0.0.1:1"):
        Engine("ray", 2, "127.0.0.1:1").map(engine_tasks.square, [1, 2], describe="square")


def test_progress_passes_everything_through_and_is_plain_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 4))  # every item takes 4 s
    monkeypatch.setattr(
        "pipeline.engine.progress_bar.time", SimpleNamespace(monotonic=lambda: next(clock))
    )  # Ray's threads ask too
    assert list(progress(range(6), total=6, describe="walk")) == list(range(6))
    assert capsys.readouterr().err.splitlines() == ["walk: 3/6, 12 s", "walk: 6/6, 24 s"]


def test_a_short_run_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), total=3, describe="walk")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_ray_has_a_short_folder_for_its_sockets_or_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    for length, expected in ((30, "/" + "t" * 30 + "/ray"), (60, "/tmp/ray")):
        monkeypatch.setenv("TMPDIR", "/" + "t" * length)
        assert cluster._session_folder() == expected
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(
        EngineError, match="^run.engine: the path of ray's folder is too long for sockets: /ttt.*RAY_TMPDIR"
    ):
        cluster._session_folder()


def test_a_wait_that_hides_the_error_of_sigterm_raises_it() -> None:
    class Stopped(KeyboardInterrupt):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    def library(number: int) -> None:
        """As Ray does it: whatever a handler raises becomes a plain KeyboardInterrupt."""
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        for number, expected in ((signal.SIGTERM, Stopped), (signal.SIGINT, KeyboardInterrupt)):
            with pytest.raises(KeyboardInterrupt) as caught, cluster._errors_of_sigterm():
                library(number)
            assert caught.type is expected and signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
