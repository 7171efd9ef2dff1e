"""The stage on a Ray cluster of two nodes with a token, on this machine; one node is killed in the middle.

The nodes have the addresses 127.0.0.2 and 127.0.0.3, so nothing leaves the machine. All that is started here is ended
here, by process group, and every wait has an end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.crash import wait_until
from tests.shards.stand_in import content

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
HEAD, SECOND = "127.0.0.2", "127.0.0.3"
RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = "0123456789abcdef" * 4
DRIVE = """
import os, sys
from pathlib import Path
from pipeline.engine import Engine
from tests.faults import crash
crash.recorded(Path(sys.argv[1]), Engine("ray", 2, os.environ["RAY_ADDRESS"], Path(sys.argv[1], "locks")), sys.argv[2])
"""
NODES = """
import ray
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
print(*(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]))
"""


def environment(port: int, token: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    ray = {name: os.environ[name] for name in ("RAY_USAGE_STATS_ENABLED", "RAY_memory_monitor_refresh_ms")}
    ray["RAY_ADDRESS"] = f"{HEAD}:{port}"
    if token:
        ray |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return {**kept, **ray, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def started(*words: str, port: int, log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node of the cluster in a process group of its own; the group is killed at the end."""
    command = [RAY, "start", "--block", "--num-gpus=0", "--object-store-memory=100000000", *words]
    variables = {**environment(port, TOKEN), **more}
    variables.pop("RAY_ADDRESS")
    with open(log, "wb") as out:
        node = subprocess.Popen(command, env=variables, stdout=out, stderr=out, start_new_session=True)
        try:
            yield node
        finally:
            kill(node)


def kill(node: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HEAD, 0))
        return int(probe.getsockname()[1])


def driven(code: str, *arguments: object, port: int, token: str = TOKEN) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment(port, token), stdout=pipe, stderr=pipe, text=True)


def answers(port: int, log: Path) -> Callable[[], bool]:
    def connected() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HEAD, port)) == 0

    return connected


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port of a cluster of two nodes of one core each, and the second node."""
    logs, port = tmp_path_factory.mktemp("logs"), free_port()
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
        head = ("--head", f"--node-ip-address={HEAD}", f"--port={port}", "--include-dashboard=false", "--num-cpus=1")
        stack.enter_context(started(*head, f"--temp-dir={own}", port=port, log=logs / "head"))
        wait_until(answers(port, logs / "head"), "the head's answer")
        second = (f"--address={HEAD}:{port}", f"--node-ip-address={SECOND}", "--num-cpus=1")
        node = stack.enter_context(started(*second, port=port, log=logs / "second"))

        def both() -> bool:
            with driven(NODES, port=port) as asked:
                return asked.communicate(timeout=600)[0].split() in ([HEAD, SECOND], [SECOND, HEAD])

        wait_until(both, f"two nodes ({(logs / 'second').read_text()})")
        yield port, node


def test_without_the_token_the_cluster_takes_no_work(cluster: tuple[int, object], tmp_path: Path) -> None:
    port, _ = cluster
    variables = environment(port, "") | {"HOME": str(tmp_path)}  # a token of the user's own lies in the home folder
    code = "from pipeline.engine import Engine\nfrom tests.engine_tasks import square\n"
    code += f"print(Engine('ray', 2, '{HEAD}:{port}').map(square, [1, 2, 3], describe='square'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, timeout=600)
    assert done.returncode == 1 and done.stdout == b""
    assert b"RAY_AUTH_MODE=token and its token must be here too" in done.stderr, done.stderr


def test_a_node_killed_in_the_middle_changes_no_byte(
    cluster: tuple[int, subprocess.Popen[bytes]], undisturbed: Path, tmp_path: Path
) -> None:
    port, second = cluster
    (tmp_path / "sources").symlink_to(undisturbed / "sources")
    workers = tmp_path / "workers"
    workers.mkdir()
    with driven(DRIVE, tmp_path, SECOND, port=port) as driver:
        wait_until(lambda: driver.poll() is not None or (workers / SECOND).exists(), "a task of the second node's")
        assert driver.poll() is None, driver.communicate()[1]
        assert list((tmp_path / "distorted").glob("*.tmp")) and not (tmp_path / "distorted" / "manifest.json").exists()
        kill(second)
        output, errors = driver.communicate(timeout=600)
    assert driver.returncode == 0, errors
    assert output.split()[-1] == "done"
    assert "a Ray worker died (" in errors and "; trying again, 1 of 2" in errors
    assert "while writing " in errors  # the node's last words, which came over the shared folder
    assert {path.name for path in workers.iterdir()} == {HEAD, SECOND}
    assert content(tmp_path / "distorted") == content(undisturbed / "distorted")
