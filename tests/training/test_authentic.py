"""Authentic images: paper 2, eq. (3) and (4), against a double loop and over processes; what is in a batch."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import TINY, StandIn, fingerprint, job
from torch.nn.parallel import DistributedDataParallel

from pipeline.labels import CLASSES
from pipeline.params import ParamsError, TrainingParams
from pipeline.shards.decoded import Subset
from pipeline.shards.epochs import Epochs
from pipeline.training.authentic import Halves, Mixture
from pipeline.training.collectives import mean_over_ranks
from pipeline.training.labels import AUTHENTIC, batch_labels
from pipeline.training.launch import launch
from pipeline.training.loop import train
from pipeline.training.loss import contrastive_loss
from pipeline.training.methods.contrastive import batch_order

TAU = 0.1


class Photographs(StandIn):
    """Images without labels."""

    def __init__(self, count: int = 12) -> None:
        super().__init__(sources=count, classes=1)
        del self.labels

    def __len__(self) -> int:
        return len(self.keys)

    def image(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (48, 56, 3), dtype=np.uint8)


def mixture() -> Mixture:
    return Mixture(Subset(StandIn(), np.arange(4, 32)), Subset(Photographs(), np.arange(1, 12)))


def term(unit: torch.Tensor, i: int, j: int) -> torch.Tensor:
    """-log of one fraction of eq. (2) and (3)."""
    below = sum(torch.exp(unit[i] @ unit[k] / TAU) for k in range(len(unit)) if k != i)
    return -torch.log(torch.exp(unit[i] @ unit[j] / TAU) / below)


def equation_four(embeddings: torch.Tensor, image: list[int], label: list[int]) -> torch.Tensor:
    """Eq. (4) anchor by anchor: ``image`` is whose embedding it is, ``label`` its class or AUTHENTIC."""
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    terms = []
    for i in range(len(unit)):
        if label[i] == AUTHENTIC:  # eq. (3); with patches the mean over all the other embeddings of the image
            others = [j for j in range(len(unit)) if j != i and image[j] == image[i]]
        else:  # eq. (2)
            others = [j for j in range(len(unit)) if j != i and label[j] == label[i]]
        terms.append(sum(term(unit, i, j) for j in others) / len(others))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("patches", [1, 4])
@pytest.mark.parametrize("given", [[3, -1, 0, -1, 3, -1, 125, -1], [-1] * 6, [3, 0, 3, 125, 0, 7]])
def test_loss_and_gradient_are_those_of_equation_four(given: list[int], patches: int) -> None:
    classes = torch.from_numpy(batch_labels(np.array(given)))
    each = classes.repeat(2).repeat_interleave(patches)  # as the trainer spreads them: two views, then patches
    image = torch.arange(len(given)).repeat(2).repeat_interleave(patches).tolist()
    label = torch.tensor(given).repeat(2).repeat_interleave(patches).tolist()
    generator = torch.Generator().manual_seed(patches)
    embeddings = torch.randn(len(each), 7, dtype=torch.float64, generator=generator)
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    loss = contrastive_loss(ours, each, temperature=TAU, classes=CLASSES + len(given), chunk=5)
    expected = equation_four(theirs, image, label)
    loss.value.backward()
    expected.backward()
    assert abs(loss.value.item() - expected.item()) < 1e-12 and int(loss.dropped) == 0
    assert (ours.grad - theirs.grad).abs().max() < 1e-12


def network() -> torch.nn.Module:
    torch.manual_seed(0)  # of the test's own network
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5)).double()


GIVEN = [3, -1, 3, -1, 0, -1, 125, -1]
INPUTS = torch.randn(8, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))  # image, view


def rank_gradient(folder: str) -> None:
    import torch.distributed as dist

    rank, ranks = dist.get_rank(), dist.get_world_size()
    classes = torch.from_numpy(batch_labels(np.array(GIVEN)))
    inputs, classes = INPUTS.chunk(ranks)[rank], classes.chunk(ranks)[rank]
    model = DistributedDataParallel(network())
    embeddings = model(inputs.transpose(0, 1).reshape(-1, 6))
    loss = contrastive_loss(embeddings, classes.repeat(2), temperature=TAU, classes=CLASSES + 8, chunk=3)
    loss.value.backward()
    torch.save(
        {"loss": mean_over_ranks(loss.value.detach()), "gradients": [p.grad for p in model.parameters()]},
        f"{folder}/{rank}.pt",
    )


@pytest.mark.parametrize("ranks", [2, 4])
def test_over_processes_it_is_equation_four_in_one(tmp_path: Path, ranks: int) -> None:
    model = network()
    embeddings = model(INPUTS.transpose(0, 1).reshape(-1, 6))
    expected = equation_four(embeddings, list(range(8)) * 2, GIVEN * 2)
    expected.backward()
    launch(rank_gradient, ranks, "cpu", str(tmp_path))
    for rank in range(ranks):
        result = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert abs(result["loss"].item() - expected.item()) < 1e-12
        for ours, theirs in zip(result["gradients"], model.parameters(), strict=True):
            assert (ours - theirs.grad).abs().max() < 1e-12


def orders(params: TrainingParams = TINY) -> Epochs | Halves:
    return batch_order(mixture().labels.astype(np.int64), params, 1)


def test_half_of_a_batch_is_authentic_and_in_turn() -> None:
    data, order = mixture(), orders()
    assert isinstance(order, Halves) and order.in_epoch == 7  # 28 distorted images, 4 a step
    seen: list[int] = []
    for _, samples in order.steps(0, 14):
        assert ((data.labels[samples] == AUTHENTIC) == [False, True] * 4).all() and len(set(samples)) == 8
        seen += [int(sample) for sample in samples[::2]]
    assert sorted(seen[:28]) == list(range(28)) == sorted(seen[28:]) and seen[:28] != seen[28:]
    again = dict(order.steps(5, 14))
    assert all((again[step] == samples).all() for step, samples in order.steps(0, 14) if step >= 5)


def test_each_authentic_image_is_a_class_of_its_own_on_every_rank(tmp_path: Path) -> None:
    run, make = job(tmp_path, mixture())
    method = make(run, torch.device("cpu"))
    method.prepare(1)
    expected = list(method.batches(0, 3, 0, 1))
    for batch in expected:
        own = [label for label in batch.labels.tolist() if label >= CLASSES]
        assert len(set(own)) == 4 and sum(label < CLASSES for label in batch.labels.tolist()) == 4
    for rank in range(2):
        for batch, all_ranks in zip(method.batches(0, 3, rank, 2), expected, strict=True):
            assert torch.equal(batch.labels, all_ranks.labels[4 * rank : 4 * rank + 4])


def test_a_mixture_is_its_parts() -> None:
    data = pickle.loads(pickle.dumps(mixture()))  # as ranks get it
    assert len(data) == len(data.keys) == len(data.labels) == len(data.shapes) == 28 + 11
    assert data.keys[0] == StandIn().keys[4] and data.keys[28] == f"authentic/{Photographs().keys[1]}"
    assert (data.image(0) == StandIn().image(4)).all() and (data.image(38) == Photographs().image(11)).all()
    only = Mixture(None, Photographs())
    assert len(only) == 12 and set(only.labels) == {AUTHENTIC} and only.fingerprint != data.fingerprint
    balanced = TINY.model_copy(update={"batch": 4, "class_balanced": True})
    assert isinstance(batch_order(only.labels.astype(np.int64), balanced, 1), Epochs)


def test_impossible_mixtures_are_refused_by_name() -> None:
    with pytest.raises(ParamsError, match="training.batch: 9 is odd"):
        orders(TINY.model_copy(update={"batch": 9}))
    with pytest.raises(ParamsError, match=r"training.batch: 12 is more than an epoch has, 11 of 11 .*authentic"):
        orders(TINY.model_copy(update={"batch": 24}))


@pytest.mark.parametrize("kind", ["half", "only"])
def test_the_trainer_learns_with_authentic_images(tmp_path: Path, kind: str) -> None:
    data = mixture() if kind == "half" else Mixture(None, Photographs())
    params = TINY.model_copy(update={"authentic": kind, "authentic_set": "photographs", "neighbour_weight": 0.5})
    run = job(tmp_path, data, params)
    train(*run)
    history = pq.read_table(tmp_path / "out" / "history.parquet")
    assert np.isfinite(history["loss"].to_numpy()).all() and set(history["dropped"].to_pylist()) == {0}
    assert json.loads((tmp_path / "out" / "encoder.json").read_text())["provenance"]["images"] == len(data)
    assert fingerprint(tmp_path, data, params) != fingerprint(tmp_path, StandIn(), params)
