"""Training killed from outside at five random moments: the resumed weights are the unbroken run's, bit by bit."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import TINY, StandIn, job

from pipeline.training.loop import train

KILLS = 5
STEPS = 80  # 26 after the last kill, however late that comes
PARAMS = TINY.model_copy(update={"epochs": STEPS / 4, "ema": 0.9})


def _run(broken: tuple[Any, Any]) -> None:
    train(*broken)


def _reached(folder: Path) -> int:
    pointer = folder / "checkpoints" / "latest.json"
    return int(json.loads(pointer.read_text())["step"]) if pointer.exists() else 0


@pytest.mark.faults
def test_killed_at_five_random_moments_and_resumed_is_unbroken(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    chance = np.random.default_rng(1)
    moments = np.sort(chance.choice(np.arange(1, 55), KILLS, replace=False))
    broken = job(tmp_path / "broken", StandIn(), PARAMS, checkpoint_every=1)
    for moment, pause in zip(moments, chance.uniform(0, 0.05, KILLS), strict=True):
        process = multiprocessing.get_context("spawn").Process(target=_run, args=(broken,))
        process.start()
        while _reached(tmp_path / "broken") < moment and process.is_alive():
            time.sleep(0.001)
        time.sleep(pause)  # into the next step, or the writing of its checkpoint
        process.kill()
        process.join()
        assert process.exitcode == -9 and moment <= _reached(tmp_path / "broken") < STEPS
        assert not (tmp_path / "broken" / "out" / "encoder.json").exists()
    train(*broken)
    train(*job(tmp_path / "whole", StandIn(), PARAMS))
    ours, expected = (tmp_path / name / "out" for name in ("broken", "whole"))
    assert (ours / "encoder.safetensors").read_bytes() == (expected / "encoder.safetensors").read_bytes()
    clocks = ["crops_per_s", "waiting"]
    histories = [pq.read_table(folder / "history.parquet").drop_columns(clocks) for folder in (ours, expected)]
    assert histories[0].equals(histories[1]) and len(histories[0]) == STEPS
    left = sorted(path.name for path in (tmp_path / "broken" / "checkpoints").iterdir())
    assert left == ["latest.json", f"step-{STEPS:08d}.pt"]  # nothing of a killed writer stays
