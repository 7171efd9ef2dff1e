"""The train stage under torchrun: two processes of one group train one encoder, with a probe, from shards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

import stages.distort
import stages.sources
from pipeline import Refusal, profiles
from pipeline.params import load
from pipeline.training.launch import joined

ROOT = Path(__file__).parents[2]


def small(folder: Path) -> None:
    """params.yaml in ``folder``: the tiny profile with less of everything, and in fp32 on the CPU."""
    content = YAML(typ="safe").load(profiles.profile_text("tiny"))
    content["sources"].update(count=4, size=64, per_shard=2)
    content["probe"].update(sources=2, folds=2, precision="fp32")
    content["training"].update(width=8, crop=32, batch=32, epochs=1, warmup=0.2, authentic="none")
    content["run"].update(engine="serial", device="cpu", threads=1)
    with open(folder / "params.yaml", "w") as file:
        YAML().dump(content, file)


def torchrun(folder: Path, ranks: int) -> subprocess.CompletedProcess[str]:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    stage = ["-m", "stages.train", "textured_dead_leaves"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command, *stage], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("given", [{}, {"RANK": "0", "WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "two"}])
def test_half_of_torchruns_variables_are_refused(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refusal, match="LOCAL_RANK is 0, .*no group"), joined("cpu", 0):
        pass


@pytest.mark.slow
def test_the_stage_is_one_rank_of_torchruns_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path)
    params = load(tmp_path / "params.yaml")
    stages.sources.run(params, "textured_dead_leaves")
    stages.distort.run(params, "textured_dead_leaves")
    done = torchrun(tmp_path, 2)
    assert done.returncode == 0, done.stderr
    model = tmp_path / "data/models/textured_dead_leaves"
    about = json.loads((model / "encoder.json").read_text())["provenance"]
    assert about["ranks"] == 2 and about["selection"] == "last" and about["images"] == 2 * 126
    history = pq.read_table(model / "history.parquet")
    assert history["step"].to_pylist() == list(range(7))  # 252 images, 32 a step over both ranks
    assert 0 <= history["type_accuracy"].to_pylist()[-1] <= 1
    assert done.stderr.count("train textured_dead_leaves: step 7/7") == 1  # one rank speaks
