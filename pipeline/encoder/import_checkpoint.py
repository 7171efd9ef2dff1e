"""Published checkpoints as encoders: torchvision's and timm's ResNets, and CONTRIQUE's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifacts import ArtifactError, sha256_file
from pipeline.encoder.checkpoint_files import read_content
from pipeline.encoder.network import BLOCKS, ResNet, key_problems
from pipeline.encoder.preprocessing import Preprocessing

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
CONTRIQUE = Preprocessing(half="bicubic")  # bytes / 255 as they are, halved as its demos do
WRAPPERS = ("state_dict", "model")  # training scripts put the weights under one of these
_STEM = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


@dataclass(frozen=True)
class Checkpoint:
    """A trunk read from a file: ``preprocessing`` is how its authors show images to it, ``names`` says whose key names
    the file has, ``left_out`` which of its keys are no trunk's (the classifier, the projector).
    """

    trunk: ResNet
    preprocessing: Preprocessing
    names: str
    left_out: tuple[str, ...]
    sha256: str


def read_checkpoint(path: Path) -> Checkpoint:
    """The trunk in a .safetensors file, or else in one of torch's (.pth, .pt, .tar).

    :class:`ArtifactError` names the file, and the keys that are missing, unexpected or of another shape.
    """
    state = _state(Path(path))
    contrique = any(key.startswith("encoder.") for key in state)
    if contrique:
        head = tuple(key for key in state if key.startswith("projector."))
        renamed = {_from_contrique(key): value for key, value in state.items() if key not in head}
    else:
        head = tuple(key for key in state if key in ("fc.weight", "fc.bias"))
        renamed = {key: value for key, value in state.items() if key not in head}
    names, preprocessing = ("CONTRIQUE", CONTRIQUE) if contrique else ("torchvision and timm", IMAGENET)
    return Checkpoint(_trunk(renamed, path), preprocessing, names, head, sha256_file(path))


def _state(path: Path) -> dict[str, Tensor]:
    """Keys to tensors, without the prefix of DistributedDataParallel."""
    content = read_content(path)
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise ArtifactError(f"{path}: holds no weights by name but a {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ArtifactError(f"{path}: {key!r} is a {type(value).__name__}, not a tensor")
        if value.layout is not torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
            raise ArtifactError(f"{path}: {key} is not an array of real numbers (quantised, sparse, complex or empty)")
        if not torch.isfinite(value.float()).all():
            raise ArtifactError(f"{path}: {key} has values that are no numbers")
    state = {key.removeprefix("module."): value for key, value in content.items()}
    if len(state) < len(content):
        twice = next(key for key in content if f"module.{key}" in content)
        raise ArtifactError(f"{path}: {twice} is there twice, with and without module.")
    return state


def _from_contrique(key: str) -> str:
    """Its encoder is a sequence of torchvision's children: ``encoder.4.0.conv1.weight`` is layer1's."""
    match = re.fullmatch(r"encoder\.(\d+)\.(.+)", key)
    return f"{_STEM[match[1]]}.{match[2]}" if match and match[1] in _STEM else key


def _trunk(state: dict[str, Tensor], path: Path) -> ResNet:
    """The depth whose keys fit, filled."""
    stem = state.get("conv1.weight")
    width = len(stem) if stem is not None and stem.ndim == 4 else 64
    with torch.device("meta"):
        expected = {depth: ResNet(depth, width).state_dict() for depth in BLOCKS}
    depth = min(BLOCKS, key=lambda depth: len(expected[depth].keys() ^ state.keys()))
    counters = {key for key in expected[depth] if key.endswith("num_batches_tracked")}  # old files have none
    problems = key_problems(expected[depth], state, optional=counters)
    if problems:
        raise ArtifactError(f"{path}: not a ResNet-18, 34 or 50; beside a ResNet-{depth}'s keys, {problems}")
    trunk = ResNet(depth, width)
    zeros = {key: torch.zeros((), dtype=torch.int64) for key in counters}
    trunk.load_state_dict({**zeros, **{key: value.to(expected[depth][key].dtype) for key, value in state.items()}})
    return trunk
