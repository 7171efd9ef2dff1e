"""One thread for every library, set before any of them is imported: the tests share their cores and want equal bits.

And nothing of the surroundings: no proxy, no cluster, no repository that a hook named, no token in the home folder.
"""

import os
import secrets

for _name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMBA_NUM", "NUMEXPR_NUM", "POLARS_MAX", "RAYON_NUM"):
    os.environ[f"{_name}_THREADS"] = "1"
for _name in list(os.environ):
    if _name.startswith("RAY_") or _name.lower().endswith("_proxy") or _name in ("GIT_DIR", "GIT_WORK_TREE"):
        del os.environ[_name]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray on the loopback interface alone, as the engine starts it
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # or Ray writes one into ~/.ray: two workers at once, or nowhere
os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # it kills workers where something else fills the memory

import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import cv2  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

cv2.setNumThreads(0)
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

_HEAD = """
import sys, ray
ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False,
         object_store_memory=256 * 2**20)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A test with bytes for a parameter is named after the parameter and counted: a file made while the tests are
    collected may hold the time (gzip's header does), and each worker collects for itself.
    """
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests come first, so that the workers, which take whole files, end at the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture
def synthetic_iqa(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a verb where the test is; returns exit code, stdout and stderr."""
    from pipeline import cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["synthetic-iqa", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What libraries leave in the folder for temporary files (Ray its sessions, torch its errors) goes with the tests.

    pytest's own folders stay where they are.
    """
    tmp_path_factory.getbasetemp()
    given = tempfile.gettempdir()
    fits = len(given) <= 17 or not os.access("/tmp", os.W_OK)  # the names of Ray's sockets, 90 more, end at 107
    with tempfile.TemporaryDirectory(prefix="iqa-", dir=given if fits else "/tmp", ignore_cleanup_errors=True) as own:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", own)
            patch.setenv("HF_HOME", f"{own}/hf")
            patch.setattr(tempfile, "tempdir", own)
            yield


@pytest.fixture(scope="session")
def ray_cluster(own_temporary_folder: None) -> Iterator[str]:
    """The address of one Ray cluster for all tests of this process: joining it takes 2 s, starting one 5 to 10.

    Its workers find the tests' own modules wherever the test that uses it is.
    """
    command, found = [sys.executable, "-c", _HEAD], {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=found, text=True, **pipes) as head:  # type: ignore[call-overload]
        assert head.stdin is not None and head.stdout is not None
        address = head.stdout.readline().strip()
        assert address, "the Ray cluster did not start"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_AUTH_MODE", "token")  # the head asks for it; who joins must say that it has it
            yield address
        head.stdin.close()
        head.wait(timeout=300)
