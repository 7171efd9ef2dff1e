"""The parts of a residual network's training step that a CPU does faster than torch: one pass where torch takes more.

:mod:`pipeline.encoder.network` uses them while it trains on one thread of a CPU (a rank is a process of one thread).
Everything else, inference among it, is torch's. The gradients are those of autograd to float32's rounding, in bfloat16
to that of a stored number: where torch rounds the normalised map before it adds the shortcut, this does not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.encoder.synchronised import SynchronisedNorm, move_running

SMALL = 16  # pixels of a map, up to which a weight gradient is one matrix product


def fits(norm: nn.Module, x: Tensor) -> bool:
    """Whether the functions here take this batch norm and its input."""
    return (
        isinstance(norm, nn.BatchNorm2d)
        and norm.training
        and norm.momentum is not None
        and norm.track_running_stats
        and _fits(x)
        and x.shape[1] % 16 == 0
        and x.dtype in (torch.float32, torch.bfloat16)
    )


def _fits(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.get_num_threads() == 1
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def norm_relu(norm: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None = None, *, relu: bool = True) -> Tensor:
    """relu(norm(x) + shortcut) while training, [n, c, h, w] channels last; ``relu`` False: norm(x) alone."""
    y: Tensor = _NormReLU.apply(x, norm.weight, norm.bias, shortcut, norm, relu)  # type: ignore[no-untyped-call]
    return y


def norm_relu_pool(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """max_pool2d(relu(norm(x)), 3, 2, 1) while training, [n, c, h, w] channels last."""
    y: Tensor = _NormReLUPool.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-untyped-call]
    return y


def conv(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """``layer(x)``. Where maps are small and the layer trains on one thread, its weight gradient is one matrix product:
    on 3 x 3 maps of 256 channels that takes a quarter of the time of torch's.
    """
    if not (layer.training and _fits(x) and x.requires_grad):
        return layer(x)  # type: ignore[no-any-return]
    height, width = (-(-side // layer.stride[0]) for side in x.shape[2:])
    if height * width > SMALL:
        return layer(x)  # type: ignore[no-any-return]
    weight = layer.weight
    if torch.is_autocast_enabled("cpu"):
        x, weight = x.to(torch.get_autocast_dtype("cpu")), weight.to(torch.get_autocast_dtype("cpu"))
    y: Tensor = _Conv.apply(x, weight, layer.stride[0], layer.padding[0])  # type: ignore[no-untyped-call]
    return y


def compile_kernels() -> None:
    """Fill numba's cache, so that no first step of a training compiles (10 s). The number of threads stays."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.bfloat16):
        norm = nn.BatchNorm2d(16)
        x = torch.rand(2, 16, 4, 4, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
        maps = norm_relu(norm, x), norm_relu(norm, x, x), norm_relu(norm, x, relu=False), norm_relu_pool(norm, x)
        torch.stack([y.sum() for y in maps]).sum().backward()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)


def _pixels(x: Tensor) -> Any:
    """A channels-last map as a flat array: float32, or uint16 with the bits of bfloat16."""
    flat = x.detach().permute(0, 2, 3, 1).view(-1)
    return (flat.view(torch.uint16) if x.dtype == torch.bfloat16 else flat).numpy()


def _statistics(norm: nn.BatchNorm2d, x: Tensor) -> tuple[float, Any]:
    """How many pixels the batch statistics are of (all ranks' where ``norm`` is synchronised), and float64 [2, c]:
    their mean, and 1 / their standard deviation. The running statistics move.
    """
    from pipeline.encoder import kernels

    count: float = x.numel() // x.shape[1]
    mean, variance = torch.from_numpy(kernels.moments(_pixels(x), x.detach()[0, :, 0, 0].float().numpy()))
    if isinstance(norm, SynchronisedNorm):
        count, mean, variance = norm.of_all_ranks(count, mean, variance)
    move_running(norm, count, mean, variance)
    return float(count), torch.stack((mean, 1 / (variance + norm.eps).sqrt())).numpy()


def _gradients(norm: nn.BatchNorm2d, numbers: Any, sums: Any) -> tuple[Any, Tensor, Tensor]:
    """``sums`` (:func:`kernels.norm_sums`) over all the pixels of the statistics, and the gradients by weight and bias,
    to which each rank gives what its own pixels do.
    """
    by_bias, by_weight = (torch.from_numpy(each).to(norm.weight.dtype) for each in (sums[0], sums[1] * numbers[1]))
    if isinstance(norm, SynchronisedNorm):
        sums = norm.total(torch.from_numpy(sums)).numpy()
    return sums, by_weight, by_bias


def _keep_nan(y: Tensor, numbers: Any) -> None:
    """Make ``y`` NaN where a batch statistic is: the kernels' maximum with 0 would hide it from the loss."""
    if not all(np.isfinite(values).all() for values in numbers):
        y.fill_(math.nan)


class _NormReLU(torch.autograd.Function):
    """See :func:`norm_relu`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shortcut: Tensor | None, norm: nn.BatchNorm2d, relu: bool
    ) -> Tensor:
        """One pass for the statistics, one for the rest."""
        from pipeline.encoder import kernels

        y, pixels = torch.empty_like(x), _pixels(x)
        if shortcut is not None:
            shortcut = shortcut.to(x.dtype).contiguous(memory_format=torch.channels_last)
        added = pixels[:0] if shortcut is None else _pixels(shortcut)
        ctx.count, ctx.numbers = _statistics(norm, x)
        affine = weight.detach().numpy(), bias.detach().numpy()
        kernels.norm_forward(pixels, *affine, ctx.numbers, added, relu, _pixels(y))
        _keep_nan(y, ctx.numbers)
        ctx.save_for_backward(x, weight, y if relu else None)
        ctx.norm, ctx.relu, ctx.has_shortcut = norm, relu, shortcut is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """One pass for the sums and the shortcut's gradient, one for the input's."""
        from pipeline.encoder import kernels

        x, weight, y = ctx.saved_tensors
        dy = gradients[0].to(x.dtype).contiguous(memory_format=torch.channels_last)
        g, dx = torch.empty_like(x) if ctx.relu else dy, torch.empty_like(x)
        maps = _pixels(x), _pixels(y if ctx.relu else x), _pixels(dy)
        sums = kernels.norm_sums(*maps, ctx.numbers, ctx.relu, _pixels(g))
        sums, by_weight, by_bias = _gradients(ctx.norm, ctx.numbers, sums)
        factors = weight.detach().numpy(), ctx.numbers, ctx.count, sums
        kernels.norm_backward(_pixels(x), _pixels(g), *factors, _pixels(dx))
        return dx, by_weight, by_bias, g if ctx.has_shortcut else None, None, None


class _NormReLUPool(torch.autograd.Function):
    """See :func:`norm_relu_pool`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        """One pass for the statistics, one for the rest: the normalised map at full size is never written."""
        from pipeline.encoder import kernels

        n, channels, height, width = x.shape
        size = (n, channels, (height + 1) // 2, (width + 1) // 2)
        y = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        largest, place = torch.empty_like(y), torch.empty(y.numel(), dtype=torch.uint8)
        ctx.norm, ctx.shape = norm, (n, height, width, channels)
        ctx.count, ctx.numbers = _statistics(norm, x)
        affine = weight.detach().numpy(), bias.detach().numpy()
        kernels.pool_forward(_pixels(x), ctx.shape, *affine, ctx.numbers, _pixels(y), _pixels(largest), place.numpy())
        _keep_nan(y, ctx.numbers)
        ctx.save_for_backward(x, weight, y, largest, place)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The sums from the pooled map alone, then one pass over the input."""
        from pipeline.encoder import kernels

        x, weight, y, largest, place = ctx.saved_tensors
        dy = gradients[0].to(x.dtype).contiguous(memory_format=torch.channels_last)
        g, dx = torch.empty_like(y), torch.empty_like(x)
        maps = _pixels(largest), _pixels(y), _pixels(dy)
        sums = kernels.norm_sums(*maps, ctx.numbers, True, _pixels(g))
        sums, by_weight, by_bias = _gradients(ctx.norm, ctx.numbers, sums)
        factors = weight.detach().numpy(), ctx.numbers, ctx.count, sums
        kernels.pool_backward(_pixels(x), ctx.shape, _pixels(g), place.numpy(), *factors, _pixels(dx))
        return dx, by_weight, by_bias, None


class _Conv(torch.autograd.Function):
    """See :func:`conv`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        """[n, i, h, w], [o, i, k, k] -> [n, o, h', w']."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """By the input torch's; by the weight the gradient's pixels times the input's windows."""
        x, weight = ctx.saved_tensors
        dy = gradients[0].contiguous(memory_format=torch.channels_last)
        stride, padding, kernel = ctx.stride, ctx.padding, weight.shape[2]
        dx = torch.ops.aten.convolution_backward(
            dy, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [True, False, False]
        )[0]
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
        n, height, width, channels = dy.shape[0], dy.shape[2], dy.shape[3], x.shape[1]
        image, row, pixel, channel = padded.stride()
        windows = padded.as_strided(
            (n, height, width, kernel, kernel, channels), (image, row * stride, pixel * stride, row, pixel, channel)
        )
        rows = windows.reshape(n * height * width, kernel * kernel * channels)
        product = dy.permute(0, 2, 3, 1).reshape(-1, dy.shape[1]).T @ rows
        return dx, product.view(-1, kernel, kernel, channels).permute(0, 3, 1, 2), None, None
