"""The learning rate and the optimiser."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.training.optimisers import lars, learning_rate, sgd


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


def test_lars_is_algorithm_1_written_out() -> None:
    generator = torch.Generator().manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(5, 2)).double()
    torch.nn.init.zeros_(model[2].weight)  # no norm to adapt to
    optimiser = lars([model[:2], model[2]], momentum=0.9, trust=1e-3, weight_decay=0.1)
    expected = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    speed = {name: torch.zeros_like(value) for name, value in expected.items()}
    for rates in ((0.5, 0.5, 0.02, 0.02), (0.05, 0.05, 0.002, 0.002)):  # the second after a plateau
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
            w, g, rate = expected[name], parameter.grad, rates[0] if name[0] in "01" else rates[2]
            decay = 0.1 if w.ndim > 1 else 0.0
            scaled = w.ndim > 1 and w.norm() > 0
            ratio = 1e-3 * w.norm() / (g.norm() + decay * w.norm()) if scaled else 1.0
            speed[name] = 0.9 * speed[name] + rate * ratio * (g + decay * w)
            expected[name] = w - speed[name]
        optimiser.step()
        for name, parameter in model.named_parameters():
            assert (parameter - expected[name]).abs().max() < 1e-15, name
