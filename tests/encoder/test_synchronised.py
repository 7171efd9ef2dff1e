"""Synchronised batch norms: the fused and the plain step of two ranks beside one process's."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.encoder import fused
from pipeline.encoder.network import ResNet, channels_last, folded, initialise
from pipeline.encoder.synchronised import SynchronisedNorm, synchronise
from pipeline.training.collectives import mean_over_ranks, sum_over_ranks, world
from pipeline.training.launch import launch

WAYS = [("fused", "fp32"), ("fused", "bf16"), ("plain", "fp32"), ("plain", "bf16"), ("plain", "fp64")]


def random(*shape: int, seed: int = 0, offset: float = 0.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + offset


def step(way: str, precision: str) -> dict[str, Tensor]:
    """One step of a trunk on this rank's part of 8 images: its maps, the mean over ranks of the gradients of a loss
    that is a mean over its own images, and the running statistics.
    """
    rank, ranks = world()
    dtype = torch.float64 if precision == "fp64" else torch.float32
    trunk = channels_last(ResNet(18, 16)).train()
    initialise(trunk, torch.Generator().manual_seed(0))
    if ranks > 1:
        synchronise(trunk, sum_over_ranks)
    trunk.to(dtype)
    images, weights = random(8, 3, 64, 64).sigmoid().to(dtype), random(8, 128, 2, 2, seed=1).to(dtype)
    images, weights = (each.chunk(ranks)[rank] for each in (images, weights))
    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16, precision == "bf16"):
        if way == "plain":
            patch.setattr(fused, "_fits", lambda x: False)
        maps = trunk(images.contiguous(memory_format=torch.channels_last))
        (maps.to(dtype) * weights).sum((1, 2, 3)).mean().backward()
    results = {"maps": maps.detach().to(dtype)}
    results |= {name: mean_over_ranks(parameter.grad) for name, parameter in trunk.named_parameters()}
    return results | {name: value.clone() for name, value in trunk.named_buffers()}


def steps(folder: str) -> None:
    torch.set_num_threads(1)
    torch.save({way: step(*way) for way in WAYS}, f"{folder}/{world()[0]}.pt")


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The median of the relative distances: rounding decides on which side of 0 a value lies, so some are large."""
    pairs = ((value.double(), theirs[name].double()) for name, value in ours.items())
    return float(np.median([float((one - other).norm() / other.norm()) for one, other in pairs]))


def test_a_step_of_two_ranks_is_that_of_one_process(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    steps(str(tmp_path / "one"))
    launch(steps, 2, "cpu", str(tmp_path))
    one, *ranks = (torch.load(tmp_path / name, weights_only=True) for name in ("one/0.pt", "0.pt", "1.pt"))
    exact = one["plain", "fp64"]
    for way in WAYS:
        first, second = (rank[way] for rank in ranks)
        assert all(torch.equal(first[name], second[name]) for name in first if name != "maps"), way
        ours = {**first, "maps": torch.cat([rank[way]["maps"] for rank in ranks])}
        if way[1] == "bf16":  # of the two, rounding takes 0.05 and the division into halves 0.001 or nothing
            rounding = distance(one[way], exact)
            assert distance(ours, exact) < 1.1 * rounding and distance(ours, one[way]) < rounding / 5, way
        else:
            assert distance(ours, one[way]) < (1e-12 if way[1] == "fp64" else 1e-5), way


def alone(norm: nn.Module) -> nn.Module:
    """Synchronised with no other rank."""
    synchronise(norm, lambda sums: sums)
    return norm


def test_statistics_of_unequal_parts_are_those_of_the_whole() -> None:
    """Far from 0, where squares lose digits: no more than float32's rounding of the values costs."""
    whole = random(9, 16, 7, 7, offset=300.0)
    parts = whole.split([2, 7])
    given = [(part.numel() / 16, part.double().mean((0, 2, 3)), part.double().var((0, 2, 3), False)) for part in parts]
    sums = list[Tensor]()
    norm = SynchronisedNorm(16)
    norm.total = lambda mine: sums.append(mine) or torch.stack(sums).sum(0)
    norm.of_all_ranks(*given[0])
    count, mean, variance = norm.of_all_ranks(*given[1])
    assert count == 9 * 49
    assert torch.allclose(mean, whole.double().mean((0, 2, 3)), rtol=1e-13)
    assert torch.allclose(variance, whole.double().var((0, 2, 3), False), rtol=1e-9)


@pytest.mark.parametrize("shape", [(6, 16), (6, 16, 3, 5)])
def test_alone_it_is_torchs(shape: tuple[int, ...]) -> None:
    norms = [(nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(16).double() for _ in range(2)]
    alone(norms[0])
    results = []
    for norm in norms:
        x = random(*shape, offset=2.0).double().requires_grad_()
        y = norm(norm(x))
        (y * random(*shape, seed=3)).sum().backward()
        results.append([y, x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers(), norm.eval()(x)])
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(*results, strict=True))


def test_a_second_pass_at_momentum_0_moves_nothing() -> None:
    torch.set_num_threads(1)
    norm, x = alone(nn.BatchNorm2d(16)), random(2, 16, 3, 3).contiguous(memory_format=torch.channels_last)
    norm.momentum = 0.0
    norm(x)
    assert fused.fits(norm, x)
    fused.norm_relu(norm, x)
    assert torch.equal(norm.running_mean, torch.zeros(16)) and torch.equal(norm.running_var, torch.ones(16))


def test_only_training_exchanges_and_names_stay() -> None:
    def refuse(sums: Tensor) -> Tensor:
        raise AssertionError("exchanged")

    trunk = ResNet(18, 8)
    initialise(trunk, torch.Generator().manual_seed(0))
    keys, weight = list(trunk.state_dict()), trunk.bn1.weight
    synchronise(trunk, refuse)
    assert list(trunk.state_dict()) == keys and trunk.bn1.weight is weight
    assert sum(isinstance(module, SynchronisedNorm) for module in trunk.modules()) == 20
    images = random(2, 3, 32, 32)
    with pytest.raises(AssertionError, match="exchanged"):
        trunk(images)
    copied = copy.deepcopy(trunk).eval()  # as the moving average is, and what is validated
    assert torch.allclose(copied(images), folded(trunk)(images), atol=1e-4)
