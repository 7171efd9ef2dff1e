"""An independent ResNet with a trunk's weights: transformers' ResNetModel, for the benchmark and the test beside it."""

from __future__ import annotations

import re

import torch

from pipeline.encoder.network import BLOCKS, ResNet


def same_weights(trunk: ResNet) -> torch.nn.Module:
    """transformers' network of the same shape, in eval mode, with every tensor of ``trunk`` under its own key names."""
    from transformers import ResNetConfig, ResNetModel

    expansion = 4 if trunk.depth == 50 else 1
    config = ResNetConfig(
        embedding_size=trunk.width,
        hidden_sizes=[trunk.width * expansion * 2**stage for stage in range(4)],
        depths=list(BLOCKS[trunk.depth]),
        layer_type="bottleneck" if expansion == 4 else "basic",
    )
    model: torch.nn.Module = ResNetModel(config)
    model.load_state_dict({_their_key(key): value for key, value in trunk.state_dict().items()})
    return model.eval()


def _their_key(key: str) -> str:
    kinds = {"conv": "convolution", "bn": "normalization"}
    if match := re.fullmatch(r"(conv|bn)1\.(\w+)", key):
        return f"embedder.embedder.{kinds[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(\d)\.downsample\.([01])\.(\w+)", key):
        kind = kinds["conv" if match[3] == "0" else "bn"]
        return f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.shortcut.{kind}.{match[4]}"
    match = re.fullmatch(r"layer(\d)\.(\d)\.(conv|bn)(\d)\.(\w+)", key)
    assert match, key
    block = f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.layer.{int(match[4]) - 1}"
    return f"{block}.{kinds[match[3]]}.{match[5]}"
