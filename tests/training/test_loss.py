"""The loss against the literal double loop of eq. (2), and over two processes against one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parallel import DistributedDataParallel

from pipeline.training.collectives import mean_over_ranks
from pipeline.training.labels import positive_weights
from pipeline.training.launch import launch
from pipeline.training.loss import contrastive_loss


def literal(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    tau: float,
    near: dict[tuple[int, int], float] | None = None,
    average: str = "anchors",
) -> tuple[torch.Tensor, int]:
    """Paper 1, eq. (2), term by term; the mean over the anchors that have a positive, or over the classes that have
    such anchors of each class's mean (paper 3, eq. 5); and how many anchors have none.

    With ``near`` a row of another class is a positive of the weight that stands there for the two labels.
    """
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    terms = []
    of_class: dict[int, list[torch.Tensor]] = {}
    for i in range(len(unit)):
        weight = {j: 1.0 for j in range(len(unit)) if j != i and labels[j] == labels[i]}
        for j in range(len(unit)):
            pair = (min(int(labels[i]), int(labels[j])), max(int(labels[i]), int(labels[j])))
            if near and pair in near:
                weight[j] = near[pair]
        if weight:
            below = sum(torch.exp(unit[i] @ row / tau) for m, row in enumerate(unit) if m != i)
            logs = [w * torch.log(torch.exp(unit[i] @ unit[j] / tau) / below) for j, w in weight.items()]
            terms.append(-sum(logs) / sum(weight.values()))
            of_class.setdefault(int(labels[i]), []).append(terms[-1])
    if average == "classes":
        return torch.stack([torch.stack(own).mean() for own in of_class.values()]).mean(), len(unit) - len(terms)
    return torch.stack(terms).mean(), len(unit) - len(terms)


@pytest.mark.parametrize(("count", "classes", "chunk"), [(24, 4, 512), (31, 12, 7), (40, 126, 8), (16, 1, 5)])
def test_loss_and_gradient_are_the_double_loops(count: int, classes: int, chunk: int) -> None:
    generator = torch.Generator().manual_seed(count)
    embeddings = torch.randn(count, 9, dtype=torch.float64, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    labels[1] = labels[0]  # at least one pair
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    loss = contrastive_loss(ours, labels, temperature=0.1, classes=classes, chunk=chunk)
    expected, dropped = literal(theirs, labels, 0.1)
    loss.value.backward()
    expected.backward()
    assert abs(loss.value.item() - expected.item()) < 1e-12 and int(loss.dropped) == dropped
    assert (ours.grad - theirs.grad).abs().max() < 1e-12
    if classes == 126:
        assert dropped > 0


@pytest.mark.parametrize(("weight", "chunk"), [(0.25, 512), (1.0, 7), (0.01, 5)])
def test_neighbouring_levels_are_positives_of_their_weight(weight: float, chunk: int) -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([0, 0, 1, 2, 2, 3, 5, 6, 6, 7, 10, 12, 14, 15, 125, 124, 121, 0, 2, 9])
    embeddings = torch.randn(len(labels), 9, dtype=torch.float64, generator=generator)
    near = {(low, low + 1): weight for low in (1, 2, 3, 4, 6, 7, 8, 9, 14, 121, 122, 123, 124)}  # not 5-6: two types
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    loss = contrastive_loss(
        ours, labels, temperature=0.1, classes=126, positive_weights=positive_weights(weight), chunk=chunk
    )
    expected, dropped = literal(theirs, labels, 0.1, near)
    loss.value.backward()
    expected.backward()
    assert abs(loss.value.item() - expected.item()) < 1e-12 and int(loss.dropped) == dropped == 3  # 5, 12, 121
    assert (ours.grad - theirs.grad).abs().max() < 1e-12


def test_the_average_over_classes_is_of_each_class_first() -> None:
    labels = torch.tensor([0, 0, 0, 0, 0, 7, 7, 12, 12, 12, 20])  # one anchor has no positive
    embeddings = torch.randn(11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    loss = contrastive_loss(ours, labels, temperature=0.5, classes=126, average="classes", chunk=4)
    expected, dropped = literal(theirs, labels, 0.5, average="classes")
    loss.value.backward()
    expected.backward()
    assert abs(loss.value.item() - expected.item()) < 1e-12 and int(loss.dropped) == dropped == 1
    assert (ours.grad - theirs.grad).abs().max() < 1e-12
    assert abs(expected.item() - literal(theirs, labels, 0.5)[0].item()) > 1e-3  # the other mean is another


def test_gradcheck() -> None:
    embeddings = torch.randn(11, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 0, 4, 4])

    def function(z: torch.Tensor) -> torch.Tensor:
        return contrastive_loss(z, labels, temperature=0.2, classes=5, chunk=4).value

    assert torch.autograd.gradcheck(function, (embeddings,))


def test_equal_embeddings_have_the_loss_of_chance() -> None:
    loss = contrastive_loss(torch.ones(8, 3), torch.arange(8) % 2, temperature=0.1, classes=2)
    assert loss.value.item() == pytest.approx(math.log(7), abs=1e-5)


def test_a_batch_without_positives_is_zero_and_not_nan() -> None:
    embeddings = torch.randn(5, 3, requires_grad=True)
    loss = contrastive_loss(embeddings, torch.arange(5), temperature=0.1, classes=126)
    loss.value.backward()
    assert loss.value.item() == 0 and int(loss.dropped) == 5 and embeddings.grad.abs().max() == 0


def test_a_small_temperature_does_not_overflow() -> None:
    embeddings = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    loss = contrastive_loss(embeddings, torch.arange(64) % 8, temperature=0.005, classes=8)
    assert torch.isfinite(loss.value)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_nothing_is_read_back_from_the_device(weight: float) -> None:
    near = positive_weights(weight)
    with FakeTensorMode(allow_non_fake_inputs=True):  # tensors without values: what asks for one fails
        embeddings, labels = torch.empty(24, 8, requires_grad=True), torch.zeros(24, dtype=torch.int64)
        contrastive_loss(
            embeddings, labels, temperature=0.1, classes=126, positive_weights=near, chunk=7
        ).value.backward()
        assert embeddings.grad is not None and embeddings.grad.shape == (24, 8)


def test_similarity_is_fp32_under_autocast() -> None:
    embeddings = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32) % 4
    plain = contrastive_loss(embeddings, labels, temperature=0.1, classes=4).value
    with torch.autocast("cpu", torch.bfloat16):
        assert contrastive_loss(embeddings, labels, temperature=0.1, classes=4).value.item() == plain.item()


def _network() -> torch.nn.Module:
    torch.manual_seed(0)  # of the test's own network
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5)).double()


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    labels = torch.tensor([0, 1, 2, 0, 1, 3, 0, 1, 4, 4, 1, 0])  # row 2 and row 5 have no positive
    return torch.randn(12, 6, dtype=torch.float64, generator=generator), labels


def _rank_gradient(folder: str) -> None:
    import torch.distributed as dist

    rank, ranks = dist.get_rank(), dist.get_world_size()
    rows, labels = (tensor.chunk(ranks)[rank] for tensor in _inputs())
    model = DistributedDataParallel(_network())
    loss = contrastive_loss(model(rows), labels, temperature=0.1, classes=5, chunk=3)
    loss.value.backward()
    result = {
        "loss": mean_over_ranks(loss.value.detach()),
        "dropped": loss.dropped,
        "gradients": [p.grad for p in model.parameters()],
    }
    torch.save(result, f"{folder}/{rank}.pt")


@pytest.mark.parametrize("ranks", [2, 4])
def test_gradient_over_processes_is_that_of_one(tmp_path: Path, ranks: int) -> None:
    model = _network()
    rows, labels = _inputs()
    loss = contrastive_loss(model(rows), labels, temperature=0.1, classes=5)
    loss.value.backward()
    launch(_rank_gradient, ranks, "cpu", str(tmp_path))
    for rank in range(ranks):
        result = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert result["loss"].item() == pytest.approx(loss.value.item(), abs=1e-12) and int(result["dropped"]) == 2
        for ours, expected in zip(result["gradients"], model.parameters(), strict=True):
            assert (ours - expected.grad).abs().max() < 1e-10
