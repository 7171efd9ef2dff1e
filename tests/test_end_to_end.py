"""One `dvc repro` of the tiny profile in a copy of the project: what it leaves, and what a change reruns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts, images
from tests import profile

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
RUN = "textured_dead_leaves"
OWN_DATABASE = """
name: mine
title: My photographs
citation: none
kind: folder
higher_is_better: true
range: [1, 5]
scores: {file: scores.csv, image: image, mos: mos, group: scene}
images: {extensions: [.png]}
group: {kind: column}
"""
PINNED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


class Project:
    """A copy of the working tree with a profile in place."""

    def __init__(self, folder: Path, profile_name: str = "tiny") -> None:
        self.folder = folder
        git = ["git", "-c", "safe.directory=*"]  # the checkout may be another user's
        listing = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0"):
            if (ROOT / name).is_file() and not name.startswith("tests/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for cache in (ROOT / "pipeline").rglob("__pycache__"):  # numba's compiled kernels: 40 s of one core saved
            shutil.copytree(cache, folder / cache.relative_to(ROOT), dirs_exist_ok=True)
        profile.write(profile_name, folder / "params.yaml")
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
        *(
            "sources",
            "statistics",
            "distort",
            "train",
            "joint",
            "finetune",
            "classify",
            "domains",
            "baselines",
            "random_init",
        ),
        *("probe", "ingest", "features", "evaluate", "compare", "regressor", "report"),
    }
    page = (project.folder / "report/index.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html") and 'src="http' not in page
    for encoder in ("textured_dead_leaves", "semi_supervised", "semi_supervised_lp_ft", "floor"):
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


def test_a_second_run_of_a_set_is_a_line_and_trains_alone(project: Project) -> None:
    line = "  textured_dead_leaves: {set: textured_dead_leaves}\n"
    project.change(line, line + "  cooler: {set: textured_dead_leaves, temperature: 0.05}\n")
    assert project.repro() == ["train@cooler", "report"]
    knobs = [json.loads((project.folder / f"data/models/{run}/encoder.json").read_text()) for run in ("cooler", RUN)]
    assert [card["provenance"]["params"]["temperature"] for card in knobs] == [0.05, 0.1]
    assert knobs[0]["sha256"] != knobs[1]["sha256"]


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


def test_judging_on_a_folder_takes_two_keys_and_no_training(tmp_path: Path) -> None:
    """The released encoder and two baselines on 12 images with a database.yaml, from a fresh checkout."""
    rng, mine = np.random.default_rng(5), tmp_path / "mine"
    lines = ["image,mos,scene"]
    for scene in range(6):
        picture = np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((12, 12, 1), np.uint8))
        for level, noise in enumerate((0, 40)):
            noisy = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
            artifacts.write_bytes(mine / f"{scene}_{level}.png", images.encode(noisy, "png"))
            lines.append(f"{scene}_{level}.png,{4.5 - 3 * level - 0.1 * scene:.1f},{scene}")
    (mine / "scores.csv").write_text("\n".join(lines) + "\n")
    (mine / "database.yaml").write_text(OWN_DATABASE)
    project = Project(tmp_path / "project", "small")
    project.change("  photos: {folder: data/distorted/photos}", f"  mine: {{folder: {mine}}}")
    trained = (
        "[dead_leaves, textured_dead_leaves, semi_supervised, semi_supervised_lp_ft, released, random_init, floor]"
    )
    project.change(trained, "[released, floor, brisque36]")
    project.change("engine: ray", "engine: serial")
    encoders = ("released", "floor", "brisque36")
    judged = {f"{stage}@{encoder}-mine" for stage in ("features", "evaluate") for encoder in encoders}
    assert {*project.repro("evaluate")} == {"baselines", "ingest@mine", *judged}
    assert sorted(path.name for path in (project.folder / "data").iterdir() if not path.name.startswith(".")) == [
        *("databases", "features", "models", "predictions"),
    ]
    assert project.repro("compare") == ["compare"]
    (mine / "scores.csv").write_text("\n".join(lines).replace("4.5", "4.9") + "\n")
    assert project.repro("-s", "ingest") == ["ingest@mine"]  # the folder is a dependency
