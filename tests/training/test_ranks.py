"""Ranks of a CPU: gradients and losses of one process, exact resumption, and what is said when one is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import TINY, StandIn, job
from torch import Tensor

from pipeline.training import collectives, views
from pipeline.training.collectives import GradientMean, average_statistics, mean_over_ranks, world
from pipeline.training.launch import RankDied, launch, ranks_for
from pipeline.training.loop import train
from pipeline.training.loss import contrastive_loss
from pipeline.training.methods.contrastive import Contrastive

PARAMS = TINY.model_copy(update={"class_balanced": True, "images_per_class": 2, "ema": 0.9})


class Exact(Contrastive):
    """In float64. ``parts`` > 1: one process whose batch norms see that many parts of a batch one after the other."""

    parts = 1

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.network.double()

    def loss(self, batch: Any) -> Mapping[str, Tensor]:
        crops = views.render(batch.full, batch.half, batch.draws).double()
        images = len(batch.labels) // self.parts
        embeddings, labels = [], []
        for part in range(self.parts):
            rows = torch.arange(part * images, (part + 1) * images)
            embeddings.append(self.network(crops[torch.cat((rows, rows + len(batch.labels)))]))
            labels.append(batch.labels[rows].repeat(2).repeat_interleave(4))
        loss = contrastive_loss(torch.cat(embeddings), torch.cat(labels), temperature=0.3, classes=126)
        return {"loss": loss.value, "dropped": loss.dropped}


def gradients(folder: str, parts: int) -> None:
    """One step's gradients, running statistics and loss, after the exchange: in shared memory, then by gloo."""
    run, make = job(Path(folder), StandIn(), PARAMS)
    method = Exact(run, torch.device("cpu"), **make.keywords)
    method.parts, (rank, ranks) = parts, world()
    method.prepare(ranks)
    (batch,) = method.batches(3, 4, rank, ranks)
    results = {}
    for shared in (True, False):
        if not shared:
            collectives._boards.clear()  # from here on by gloo
        average = GradientMean(list(method.network.parameters()), collectives.board() if shared else None)
        assert (average._shared is not None) == (shared and ranks > 1)
        for _ in range(2):  # the shared memory is used again
            method.network.zero_grad(set_to_none=True)
            columns = method.loss(batch)
            columns["loss"].backward()
            average()
        for name, parameter in method.network.named_parameters():
            results[f"{shared} {name}"] = parameter.grad.clone()
        results[f"{shared} loss"] = mean_over_ranks(columns["loss"].detach())
    average_statistics(method.network)
    mean = method.network.trunk.bn1.running_mean
    results["statistics"] = mean_over_ranks(mean) - mean
    torch.save(results, f"{folder}/{rank}.pt")


@pytest.mark.parametrize("ranks", [2, 4])
def test_gradients_of_ranks_are_those_of_one_process(tmp_path: Path, ranks: int) -> None:
    """To 1e-10 in float64, where the process's batch norms see each rank's part by itself."""
    torch.set_num_threads(1)
    (tmp_path / "one").mkdir()
    gradients(str(tmp_path / "one"), ranks)
    expected = torch.load(tmp_path / "one" / "0.pt", weights_only=True)
    launch(gradients, ranks, "cpu", str(tmp_path), 1)
    for rank in range(ranks):
        for name, value in torch.load(tmp_path / f"{rank}.pt", weights_only=True).items():
            assert (value - expected[name]).abs().max() < 1e-10, name


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


def test_an_interrupted_rank_ends_the_others_and_leaves_no_memory(tmp_path: Path) -> None:
    with pytest.raises(RankDied, match=r"^rank 0 of 2 was stopped \(SIGINT\) in step \d+; the others were stopped"):
        train(*job(tmp_path, Suicidal(0, 27, signal.SIGINT), PARAMS, ranks=2, cache="none"))
    assert not list(collectives.SHARED.glob("ranks-*"))
