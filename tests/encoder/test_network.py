"""The trunk: sizes, key names, shapes."""

from __future__ import annotations

import pytest
import torch

from pipeline.encoder.network import ResNet, initialise, weight_generator


@pytest.mark.parametrize(("depth", "expected"), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032)])
def test_parameter_counts_are_the_published_networks(depth: int, expected: int) -> None:
    with torch.device("meta"):
        trunk = ResNet(depth)
    assert sum(p.numel() for p in trunk.parameters()) == expected


def test_key_names_are_torchvisions() -> None:
    with torch.device("meta"):
        names, deep = set(ResNet(18).state_dict()), set(ResNet(50).state_dict())
    for name in ("conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight"):
        assert name in names
    assert "layer1.0.downsample.0.weight" not in names and "layer2.0.downsample.1.running_var" in names
    assert len(names) == 120  # torchvision's resnet18 has 122 with fc.weight and fc.bias
    assert "layer4.2.conv3.weight" in deep and "layer1.0.downsample.1.bias" in deep and len(deep) == 318


@pytest.mark.parametrize("depth", [18, 50])
def test_map_is_a_thirty_second_of_the_image(depth: int) -> None:
    trunk = ResNet(depth, 8).eval()
    with torch.no_grad():
        assert trunk(torch.zeros(2, 3, 64, 96)).shape == (2, trunk.dim, 2, 3)
        assert trunk(torch.zeros(1, 3, 65, 1)).shape == (1, trunk.dim, 3, 1)


def test_bottleneck_carries_its_stride_in_the_middle() -> None:
    block = ResNet(50, 8).get_submodule("layer2.0")
    assert block.conv1.stride == (1, 1) and block.conv2.stride == (2, 2)


def test_initial_weights_come_from_the_seed_alone() -> None:
    one, two, other = ResNet(18, 8), ResNet(18, 8), ResNet(18, 8)
    initialise(one, weight_generator(3))
    initialise(two, weight_generator(3))
    initialise(other, weight_generator(4))
    assert torch.equal(one.conv1.weight, two.conv1.weight) and not torch.equal(one.conv1.weight, other.conv1.weight)
    deviation = one.get_submodule("layer4.1").conv1.weight.std().item()
    assert deviation == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_an_unknown_depth_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="depth: 19"):
        ResNet(19)
