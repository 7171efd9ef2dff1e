"""The residual trunk: ResNet-18, 34 or 50 without its classifier, with torchvision's key names.

At width 64 the trunks have 11,176,512, 21,284,672 and 23,508,032 parameters, so published weights fit key by key.
``width`` scales every layer: width 32 has a quarter of the parameters and, on a CPU, three times the speed.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.encoder import fused
from pipeline.seeding import generator

Network = TypeVar("Network", bound=nn.Module)

_SHOWN = 4  # keys in a message
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut (ResNet-18 and 34)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, width, ceil(h / stride), ceil(w / stride)]."""
        y = _norm_relu(self.bn1, fused.conv(self.conv1, x))
        return _norm_relu(self.bn2, fused.conv(self.conv2, y), _shortcut_of(self.downsample, x))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride, as torchvision's) and 1x1 convolutions and the shortcut (ResNet-50)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, 4 width, ceil(h / stride), ceil(w / stride)]."""
        y = _norm_relu(self.bn1, fused.conv(self.conv1, x))
        y = _norm_relu(self.bn2, fused.conv(self.conv2, y))
        return _norm_relu(self.bn3, fused.conv(self.conv3, y), _shortcut_of(self.downsample, x))


class ResNet(nn.Module):
    """The trunk: an image [n, 3, h, w] in [0, 1] (no mean is subtracted) -> a map [n, dim, h/32, w/32]."""

    def __init__(self, depth: int, width: int = 64) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth: {depth} is not one of {', '.join(map(str, BLOCKS))}")
        block: type[BasicBlock] | type[Bottleneck] = Bottleneck if depth == 50 else BasicBlock
        self.depth, self.width, self.dim = depth, width, 8 * width * block.expansion
        self._expansion = block.expansion
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for index, count in enumerate(BLOCKS[depth]):
            layer = _layer(block, inputs, width * 2**index, count, stride=1 if index == 0 else 2)
            self.add_module(f"layer{index + 1}", layer)
            inputs = width * 2**index * block.expansion

    @property
    def architecture(self) -> str:
        """The name in encoder.json: ``resnet18`` at width 64, else ``resnet18-w32``."""
        return f"resnet{self.depth}" + ("" if self.width == 64 else f"-w{self.width}")

    def channels(self, layer: int) -> int:
        """Channels of the map of layer 1, 2, 3 or 4."""
        return (self.width << (layer - 1)) * self._expansion

    def forward(self, images: Tensor) -> Tensor:
        """[n, 3, h, w], h and w >= 1 -> [n, dim, ceil(h / 32), ceil(w / 32)]."""
        return self.maps(images, (4,))[4]

    def maps(self, images: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
        """The maps of ``layers``, of 1 to 4: layer k's is [n, channels(k), ceil(h / 2^(k+1)), ceil(w / 2^(k+1))].

        Layers behind the last of them are not computed.
        """
        x = self.conv1(images)
        x = fused.norm_relu_pool(self.bn1, x) if fused.fits(self.bn1, x) else self.maxpool(_norm_relu(self.bn1, x))
        maps: dict[int, Tensor] = {}
        for layer in range(1, max(layers) + 1):
            x = self.get_submodule(f"layer{layer}")(x)
            if layer in layers:
                maps[layer] = x
        return maps


def key_problems(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], *, optional: Collection[str] = ()) -> str:
    """Where the keys and shapes of ``state`` are not those ``expected``, in one line; empty where they fit."""
    problems = {
        "missing": [key for key in expected if key not in state and key not in optional],
        "unexpected": [key for key in state if key not in expected],
        "of another shape": [key for key in state if key in expected and state[key].shape != expected[key].shape],
    }
    return "; ".join(f"{what}: {_some(keys)}" for what, keys in problems.items() if keys)


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def initialise(trunk: ResNet, chance: torch.Generator | None) -> None:
    """Draw the weights: He's normal by fan-out (the residual paper's), batch norms at 1 and 0. Nothing else is
    random.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            with torch.no_grad():
                module.weight.normal_(0.0, (2.0 / fan_out) ** 0.5, generator=chance)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def channels_last(network: Network) -> Network:
    """The network with its weights in channels-last order: 1.2 times the speed on a CPU in fp32, 1.3 in bf16 (64
    pixels).
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def folded(trunk: ResNet) -> ResNet:
    """A copy of a trunk that is not trained any more, each batch norm folded into the convolution before it: the same
    maps to float32's rounding, without a pass over each map.
    """
    trunk = copy.deepcopy(trunk).eval()
    pairs = [(module, f"conv{number}", f"bn{number}") for module in trunk.modules() for number in (1, 2, 3)]
    pairs += [(module, "0", "1") for name, module in trunk.named_modules() if name.endswith("downsample")]
    for module, conv, norm in pairs:
        if hasattr(module, norm):
            setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())
    return trunk


def weight_generator(seed: int) -> torch.Generator:
    """The generator of a run's initial weights: a trained encoder and the untrained one of the same seed start as
    equals.
    """
    return torch.Generator().manual_seed(int(generator(seed, "weights").integers(2**63)))


def _norm_relu(norm: nn.BatchNorm2d, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    """relu(norm(x) + shortcut); in place where torch does it: 4 bytes a pixel and channel less."""
    if fused.fits(norm, x):
        return fused.norm_relu(norm, x, shortcut)
    y = norm(x)
    return torch.relu_(y if shortcut is None else y.add_(shortcut))


def _shortcut_of(downsample: nn.Sequential | None, x: Tensor) -> Tensor:
    """What a block adds to its last map: ``x``, or its convolution and batch norm."""
    if downsample is None:
        return x
    y = fused.conv(cast(nn.Conv2d, downsample[0]), x)
    norm = cast(nn.BatchNorm2d, downsample[1])
    return fused.norm_relu(norm, y, relu=False) if fused.fits(norm, y) else norm(y)


def _layer(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, count: int, stride: int
) -> nn.Sequential:
    first = block(inputs, width, stride)
    rest = [block(width * block.expansion, width, 1) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
