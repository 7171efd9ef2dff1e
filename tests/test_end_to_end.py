"""One `dvc repro` of the tiny profile in a copy of the project: what it leaves, and what a change reruns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import profile

ROOT = Path(__file__).parents[1]
PINNED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


class Project:
    """A copy of the working tree with the tiny profile in place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        git = ["git", "-c", "safe.directory=*"]  # the checkout may be another user's
        listing = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0"):
            if (ROOT / name).is_file() and not name.startswith("tests/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for cache in (ROOT / "pipeline").rglob("__pycache__"):  # numba's compiled kernels: 40 s of one core saved
            shutil.copytree(cache, folder / cache.relative_to(ROOT), dirs_exist_ok=True)
        profile.write("tiny", folder / "params.yaml")
        subprocess.run([*git, "init", "-q"], cwd=folder, check=True)

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **PINNED, "PATH": path, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def repro(self, *arguments: str) -> list[str]:
        """`dvc repro`; the names of the stages that ran."""
        done = self.dvc("repro", *arguments)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")]

    def change(self, old: str, new: str) -> None:
        text = (self.folder / "params.yaml").read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in params.yaml"
        (self.folder / "params.yaml").write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("project"))
    made.ran = made.repro()  # type: ignore[attr-defined]
    return made


def test_every_stage_runs_and_leaves_what_it_promises(project: Project) -> None:
    assert {name.split("@")[0] for name in project.ran} == {  # type: ignore[attr-defined]
        *("sources", "statistics", "distort", "train", "baselines", "random_init", "probe", "ingest", "features"),
        *("evaluate", "compare", "regressor", "report"),
    }
    page = (project.folder / "report/index.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html") and 'src="http' not in page
    for encoder in ("textured_dead_leaves", "random_init", "floor"):
        assert (project.folder / f"data/features/{encoder}/photos.parquet").is_file()
        metrics = json.loads((project.folder / f"metrics/evaluate/{encoder}/photos.json").read_text())
        assert metrics, encoder


def test_a_second_run_does_nothing(project: Project) -> None:
    assert project.repro() == []
    assert "up to date" in project.dvc("status").stdout


def test_an_evaluation_parameter_reruns_evaluate_and_what_follows_only(project: Project) -> None:
    project.change("lambda_max: 1000.0", "lambda_max: 500.0")
    assert {name.split("@")[0] for name in project.repro()} == {"evaluate", "compare", "regressor", "report"}


def test_one_features_stage_runs_alone(project: Project) -> None:
    (project.folder / "data/features/floor/photos.parquet").unlink()
    assert project.repro("-s", "-f", "features@floor-photos") == ["features@floor-photos"]


def test_an_unknown_key_stops_the_stage_with_one_line(project: Project) -> None:
    project.change("  count: 8", "  cuont: 8")
    done = project.dvc("repro", "-s", "sources@textured_dead_leaves")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "cuont" in line]
    assert (
        lines == [line for line in lines if "unknown key; did you mean count?; allowed here:" in line]
        and len(lines) == 1
    )
    assert "Traceback" not in done.stderr
    project.change("  cuont: 8", "  count: 8")
