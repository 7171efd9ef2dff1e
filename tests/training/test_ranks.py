"""Ranks of a CPU: the steps of one process, exact resumption, and what is said when one is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import TINY, StandIn, job, left_in_shared_memory
from test_joint import TINY as JOINT
from test_joint import job as joint_job
from torch import Tensor

from pipeline.training import collectives, views
from pipeline.training.collectives import mean_over_ranks, world
from pipeline.training.launch import RankDied, launch, ranks_for
from pipeline.training.loop import Loop, Run, train
from pipeline.training.loss import contrastive_loss
from pipeline.training.methods.contrastive import Contrastive
from pipeline.training.methods.joint import Joint

PARAMS = TINY.model_copy(update={"class_balanced": True, "images_per_class": 2, "ema": 0.9})


STEPS = 3


class Exact(Contrastive):
    """In float64."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.network.double()

    def loss(self, batch: Any) -> Mapping[str, Tensor]:
        crops = views.render(batch.full, batch.half, batch.draws).double()
        labels = batch.labels.repeat(2).repeat_interleave(4)
        loss = contrastive_loss(self.network(crops), labels, temperature=0.3, classes=126)
        return {"loss": loss.value, "dropped": loss.dropped}


class ExactJoint(Joint):
    """In float64. A rank's images pass each norm twice in a step, distorted and labelled ones."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.network.double()


def exact(folder: Path, method: str) -> tuple[Run, partial[Any]]:
    """A run of either. ``cached``: joint, half of the crops at a time, which are the first or second of all images."""
    if method == "contrastive":
        run, make = job(folder, StandIn(), PARAMS.model_copy(update={"learning_rate": 0.01}))
        return run, partial(Exact, **make.keywords)
    cached = {"accumulate": "cached", "chunk": JOINT.batch // 2 // world()[1]} if method == "cached" else {}
    run, made = joint_job(folder, JOINT.model_copy(update={"labelled_batch": 8, **cached}))
    return replace(run, ema=0.9), partial(ExactJoint, **made.keywords)


def steps(folder: str, method: str) -> None:
    """The loss and gradients of each step of a loop, and the state after it: in shared memory, then by gloo."""
    (rank, ranks), results = world(), {}
    for shared in (True, False):
        if not shared:
            collectives._boards.clear()  # from here on by gloo
        loop = Loop(*exact(Path(folder) / f"{rank}-{shared}", method))
        assert (loop.average_gradients._shared is not None) == (shared and ranks > 1)
        loop.history._quiet = True
        loop.method.prepare(ranks)
        for batch in loop.method.batches(0, STEPS, rank, ranks):
            loop.step(batch)
            for name, parameter in loop.method.network.named_parameters():
                results[f"{shared} {batch.step} gradient {name}"] = parameter.grad.clone()
            for part, network in (("weights", loop.method.network), ("average", loop.ema.network)):
                for name, value in network.state_dict().items():
                    results[f"{shared} {batch.step} {part} {name}"] = value.clone()
            results[f"{shared} {batch.step} loss"] = torch.tensor(loop.history.rows[-1]["loss"], dtype=torch.float64)
    torch.save(results, f"{folder}/{rank}.pt")


@pytest.mark.parametrize(
    ("method", "ranks"), [("contrastive", 2), ("contrastive", 4), ("joint", 2), ("joint", 4), ("cached", 2)]
)
def test_steps_of_ranks_are_those_of_one_process(tmp_path: Path, method: str, ranks: int) -> None:
    """Losses, gradients, weights, moving average and running statistics to 1e-10 in float64."""
    torch.set_num_threads(1)
    (tmp_path / "one").mkdir()
    steps(str(tmp_path / "one"), method)
    expected = torch.load(tmp_path / "one" / "0.pt", weights_only=True)
    launch(steps, ranks, "cpu", str(tmp_path), method)
    for rank in range(ranks):
        results = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert results.keys() == expected.keys()
        for name, value in results.items():
            assert (value - expected[name]).abs().max() < 1e-10 * expected[name].abs().max().clamp_min(1), name


def test_without_room_in_shared_memory_gloo_adds_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = collectives._reserved(4096, "test-")
    assert collectives._reserved(2**60, "test-") is None and name is not None and os.path.getsize(name) == 4096
    os.unlink(name)
    monkeypatch.setattr(collectives, "SHARED", tmp_path / "none")
    assert collectives._reserved(4096, "test-") is None


def test_ranks_divide_a_batch_and_keep_enough_images() -> None:
    assert [ranks_for(64, most) for most in (1, 2, 3, 4, 8, 64)] == [1, 2, 2, 4, 4, 4]
    assert ranks_for(48, 16) == 3 and ranks_for(9, 4) == 1 and ranks_for(512, 64) == 32 and ranks_for(64, 0) == 1


def outs(folder: Path) -> tuple[bytes, Any]:
    history = pq.read_table(folder / "out" / "history.parquet").drop_columns(["crops_per_s", "waiting"])
    return (folder / "out" / "encoder.safetensors").read_bytes(), history


class Suicidal(StandIn):
    """Sends ``rank`` a signal while its ``reading``-th image is read."""

    def __init__(self, rank: int, reading: int, number: int = signal.SIGKILL) -> None:
        super().__init__()
        self.rank, self.reading, self.number = rank, reading, number

    def image(self, index: int) -> np.ndarray:
        if world()[0] == self.rank and self.read >= self.reading:
            time.sleep(0.2)  # the steps before are done
            os.kill(os.getpid(), self.number)
        return super().image(index)


def test_a_killed_rank_ends_the_others_and_the_rerun_is_unbroken(tmp_path: Path, rank: int = 1) -> None:
    train(*job(tmp_path / "whole", StandIn(), PARAMS, ranks=2, checkpoint_every=1))
    start = time.monotonic()
    with pytest.raises(
        RankDied, match=rf"^rank {rank} of 2 was killed \(SIGKILL\) in step \d+; the others were stopped"
    ):
        train(*job(tmp_path / "broken", Suicidal(rank, 27), PARAMS, ranks=2, checkpoint_every=1, cache="none"))
    assert time.monotonic() - start < 120 and not (tmp_path / "broken" / "out").exists()
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]
    run, make = job(tmp_path / "broken", StandIn(), PARAMS, ranks=2, checkpoint_every=1)
    train(run, make)
    assert outs(tmp_path / "broken")[0] == outs(tmp_path / "whole")[0]
    assert outs(tmp_path / "broken")[1].equals(outs(tmp_path / "whole")[1])


def exits(code: int) -> None:
    """One rank asks to exit, the other waits for it at a meeting, which no lost connection ends."""
    mean_over_ranks(torch.zeros(1))  # the shared memory is there
    if world()[0] == 0:
        raise SystemExit(code)
    mean_over_ranks(torch.zeros(1))


@pytest.mark.parametrize("code", [0, 3])
def test_a_rank_that_asks_to_exit_ends_the_others(code: int) -> None:
    with pytest.raises(Exception, match=rf"rank 0 of 2 asked to exit \({code}\)"):
        launch(exits, 2, "cpu", code)


def test_an_interrupted_rank_ends_the_others_and_leaves_no_memory(tmp_path: Path) -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it; so do ranks
    try:
        with pytest.raises(RankDied, match=r"^rank 0 of 2 was stopped \(SIGINT\) in step \d+; the others were stopped"):
            train(*job(tmp_path, Suicidal(0, 27, signal.SIGINT), PARAMS, ranks=2, cache="none"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not left_in_shared_memory()
