"""The fused training step beside plain autograd: float32 to rounding, bfloat16 no further off than torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pipeline.encoder import fused
from pipeline.encoder.network import ResNet, channels_last, initialise


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random(*shape: int, seed: int = 0, offset: float = 0.0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + offset
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.copy_(random(channels, seed=1))  # of both signs
        norm.bias.copy_(random(channels, seed=2))
    return norm


def both(
    ours: Callable[..., Tensor], theirs: Callable[..., Tensor], channels: int, maps: list[Tensor], dtype: torch.dtype
) -> list[tuple[Tensor, Tensor]]:
    """Outputs, gradients by maps, weight and bias, and the running statistics, of the two ways."""
    results = []
    for function in (ours, theirs):
        norm, inputs = norm_of(channels), [m.to(dtype).requires_grad_() for m in maps]
        y = function(norm, *inputs)
        y.backward(random(*y.shape, seed=9).to(dtype))
        gradients = [value.grad for value in (*inputs, norm.weight, norm.bias)]
        results.append([y.detach(), *gradients, norm.running_mean, norm.running_var, norm.num_batches_tracked])
    return list(zip(*results, strict=True))


def plain(norm: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    y = norm(x)
    return torch.relu(y if shortcut is None else y + shortcut)


@pytest.mark.parametrize("shape", [(3, 16, 5, 7), (2, 48, 4, 4), (1, 2064, 3, 2), (4, 32, 24, 24)])
def test_norms_and_their_gradients_are_autograds(shape: tuple[int, ...]) -> None:
    x, shortcut = random(*shape), random(*shape, seed=5)
    for ours, theirs, maps in (
        (fused.norm_relu, plain, [x]),
        (fused.norm_relu, plain, [x, shortcut]),
        (lambda norm, x: fused.norm_relu(norm, x, relu=False), lambda norm, x: norm(x), [x]),
    ):
        for one, other in both(ours, theirs, shape[1], maps, torch.float32):
            assert one.shape == other.shape and one.dtype == other.dtype
            assert (one - other).abs().max() <= 2e-5 * other.abs().max().clamp_min(1)


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    norm, x = norm_of(16), random(8, 16, 9, 9, offset=3000.0)
    fused.norm_relu(norm, x)
    exact = x.double().transpose(0, 1).reshape(16, -1)
    assert torch.allclose(norm.running_mean.double() / 0.1, exact.mean(1), rtol=1e-6)
    assert torch.allclose((norm.running_var.double() - 0.9) / 0.1, exact.var(1), rtol=1e-4)


@pytest.mark.parametrize("shape", [(2, 16, 8, 8), (3, 16, 7, 9), (2, 32, 1, 5), (1, 48, 12, 11)])
def test_pooling_and_its_gradients_are_autograds(shape: tuple[int, ...]) -> None:
    def theirs(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(torch.relu(norm(x)), 3, 2, 1)

    for x in (random(*shape), random(*shape).round()):  # with ties, the first of a window gets the gradient
        for one, other in both(fused.norm_relu_pool, theirs, shape[1], [x], torch.float32):
            assert (one - other).abs().max() <= 2e-5 * other.abs().max().clamp_min(1)


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 3), (3, 2, 6), (1, 2, 7), (3, 1, 4), (1, 1, 2)])
def test_a_weight_gradient_as_a_product_is_autograds(kernel: int, stride: int, side: int) -> None:
    layer = channels_last(nn.Conv2d(8, 12, kernel, stride, kernel // 2, bias=False))
    results = []
    for function in (lambda x: fused.conv(layer, x), layer):
        layer.zero_grad()
        x = random(5, 8, side, side).requires_grad_()
        y = function(x)
        y.backward(random(*y.shape, seed=3))
        results.append((y.detach(), x.grad, layer.weight.grad.clone()))
        assert ("_Conv" in type(y.grad_fn).__name__) == (function is not layer)
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def step(depth: int, precision: str, ways: pytest.MonkeyPatch | None) -> list[Tensor]:
    """The map of a network and all its gradients, by torch alone where ``ways`` is given."""
    if ways is not None:
        ways.setattr(fused, "_fits", lambda x: False)
    trunk = channels_last(ResNet(depth, 16)).train()
    initialise(trunk, torch.Generator().manual_seed(0))
    images = random(6, 3, 64, 64, seed=4).sigmoid()
    with torch.autocast("cpu", torch.bfloat16, precision == "bf16"):
        y = trunk(images)
    (y.float() * random(*y.shape, seed=6)).sum().backward()
    if ways is not None:
        ways.undo()
    return [y.detach().float(), *(parameter.grad for parameter in trunk.parameters())]


def distance(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The median of the relative distances."""
    return float(torch.stack([(a - b).norm() / b.norm() for a, b in zip(ours, theirs, strict=True)]).median())


@pytest.mark.parametrize("depth", [18, 50])
def test_a_networks_step_is_autograds(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = step(depth, "fp32", monkeypatch)
    assert distance(step(depth, "fp32", None), exact) < (1e-4 if depth == 18 else 1e-2)  # 53 norms of 24 values amplify
    ours, theirs = step(depth, "bf16", None), step(depth, "bf16", monkeypatch)
    assert distance(ours, exact) < 1.1 * distance(theirs, exact)
    assert all(torch.isfinite(value).all() for value in ours)


def test_what_is_not_trained_on_one_thread_of_a_cpu_is_torchs() -> None:
    norm, x = norm_of(16), random(2, 16, 4, 4)
    assert fused.fits(norm, x)
    assert not fused.fits(norm.eval(), x) and not fused.fits(norm.train(), x.contiguous())
    assert not fused.fits(norm, x.double()) and not fused.fits(nn.BatchNorm2d(24), random(2, 24, 4, 4))
    assert not fused.fits(nn.BatchNorm2d(16, momentum=None), x) and not fused.fits(nn.SyncBatchNorm(16), x)
    with torch.no_grad():
        assert not fused.fits(norm, x)
    torch.set_num_threads(2)
    assert not fused.fits(norm, x)
    torch.set_num_threads(1)
