"""The learning rate and the optimiser."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pipeline.params import TrainParams
from pipeline.training.projector import build
from pipeline.training.schedule import learning_rate, sgd


def test_warm_up_is_linear_and_the_cosine_ends_at_zero() -> None:
    rates = [learning_rate(step, total=100, warmup=10, peak=0.3) for step in range(101)]
    assert rates[:10] == pytest.approx([0.3 * (step + 1) / 11 for step in range(10)])
    assert rates[10] == pytest.approx(0.3) and rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[55] == pytest.approx(0.3 * 0.5 * (1 + math.cos(math.pi * 0.5)))
    assert all(later < earlier for earlier, later in zip(rates[10:], rates[11:], strict=False))


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(0, total=5, warmup=0, peak=0.1) == 0.1


@pytest.mark.parametrize("decay_norms", [False, True])
def test_decay_spares_the_norms_unless_asked(decay_norms: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4))
    optimiser = sgd(model, momentum=0.9, weight_decay=0.5, decay_norms=decay_norms)
    for group in optimiser.param_groups:
        group["lr"] = 0.1
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    factors = [0.95, 0.95 if decay_norms else 1.0, 1.0]
    for old, new, factor in zip(before, model.parameters(), factors, strict=True):
        assert torch.allclose(new, old * factor)


def test_official_decay_goes_by_names_and_spares_48_of_55_norms() -> None:
    params = TrainParams(depth=50, width=8, projector_layers=1, projector_width=16, projection=8)
    model = build(params, torch.Generator())
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for p in m.parameters()}
    for decay_norms in (False, True):
        optimiser = sgd(model, momentum=0.9, weight_decay=0.5, decay_norms=decay_norms, official=True)
        rates = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
        assert len(rates) == len(list(model.parameters())) and set(rates.values()) == {0.0, 0.5}
        assert sum(rate == 0 for rate in rates.values()) == 2 * 48 and len(norms) == 2 * 55
        for spared in (model.trunk.get_submodule("layer1.0.bn3"), model.trunk.get_submodule("layer4.2.bn1")):
            assert rates[id(spared.weight)] == 0
        for decayed in (model.trunk.bn1, model.trunk.get_submodule("layer1.0.downsample.1"), model.projector[4]):
            assert rates[id(decayed.weight)] == 0.5


def test_official_passes_have_batch_statistics_of_their_own() -> None:
    model, twice = (
        build(TrainParams(width=8, projector_width=16, projection=8, compat=compat), torch.Generator().manual_seed(1))
        for compat in ("fixed", "official")
    )
    crops = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    parts = torch.cat([model(half) for half in crops.chunk(2)])
    assert torch.equal(twice(crops), parts) and not torch.allclose(model(crops), parts, atol=1e-3)
    assert int(twice.trunk.bn1.num_batches_tracked) == 2
