"""What is read out of a network: statistics of its layers' maps, at several scales, in several colour spaces."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.encoder.colour import SPACES
from pipeline.encoder.preprocessing import Preprocessing

STATISTICS = ("mean", "std")
LAYERS = (1, 2, 3, 4)
MOST_SCALES = 4


class Trunk(Protocol):
    """A network with maps to read: :class:`pipeline.encoder.network.ResNet`."""

    def channels(self, layer: int) -> int:
        """Channels of the map of layer 1, 2, 3 or 4."""

    def maps(self, images: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
        """Each layer's map [n, channels, ceil(h / 2^(layer + 1)), ceil(w / 2^(layer + 1))] of images [n, 3, h, w]."""


@dataclass(frozen=True)
class Pool:
    """One block of numbers for each colour space, scale, layer and statistic, in this order, each of length 1.

    The default is the papers' feature: the mean of the last layer's map over all places, of the image and of its half.
    ``scales``: how many, each half the last. A block has as many numbers as its layer has channels.
    """

    layers: tuple[int, ...] = (4,)
    statistics: tuple[str, ...] = ("mean",)
    spaces: tuple[str, ...] = ("rgb",)
    scales: int = 2

    def __post_init__(self) -> None:
        for key, allowed in (("layers", LAYERS), ("statistics", STATISTICS), ("spaces", tuple(SPACES))):
            chosen = getattr(self, key)
            wrong = [value for value in chosen if value not in allowed]
            if not chosen or wrong or len(set(chosen)) < len(chosen):
                what = f"{wrong[0]!r}" if wrong else "an empty list" if not chosen else "a name given twice"
                raise ValueError(f"pool.{key}: {what}; each of {', '.join(map(str, allowed))} once at most")
        if not 1 <= self.scales <= MOST_SCALES:
            raise ValueError(f"pool.scales: {self.scales} is not in 1..{MOST_SCALES}")

    def dim(self, trunk: Trunk) -> int:
        """Numbers of one feature."""
        numbers = sum(trunk.channels(layer) for layer in self.layers)
        return numbers * len(self.statistics) * len(self.spaces) * self.scales

    def features(self, trunk: Trunk, preprocessing: Preprocessing, images: Tensor, *, bfloat16: bool = False) -> Tensor:
        """float32 [n, dim] of images [n, 3, h, w] in [0, 1]: space by space, scale by scale.

        ``bfloat16``: the trunk computes in it (autocast), the colours do not.
        """
        scales, blocks = preprocessing.scales(images, self.scales), list[Tensor]()
        for space in self.spaces:
            for scale in scales:
                shown = preprocessing.shown(scale, space)
                with torch.autocast(images.device.type, torch.bfloat16) if bfloat16 else contextlib.nullcontext():
                    blocks += self.blocks(trunk, shown)
        return torch.cat(blocks, 1)

    def blocks(self, trunk: Trunk, shown: Tensor) -> list[Tensor]:
        """The blocks of one space and scale, each float32 [n, channels], of images ``shown`` to the trunk [n, 3, h, w].

        One pass through the trunk, as far as the last layer that is read.
        """
        maps = trunk.maps(shown, self.layers)
        return [block for layer in self.layers for block in self._statistics(maps[layer])]

    def _statistics(self, features: Tensor) -> list[Tensor]:
        features = features.float()
        values = {"mean": lambda: features.mean((2, 3)), "std": lambda: _deviation(features)}
        return [F.normalize(values[statistic](), dim=1) for statistic in self.statistics]

    def of_moments(self, count: int, total: Tensor, squares: Tensor) -> list[Tensor]:
        """The blocks of one layer, as :meth:`blocks`, by sums over its map's ``count`` places: of the values and of
        their squares, float64 [n, channels]. For maps that are never whole in memory (``pipeline.encoder.tiles``).
        """
        mean = total / count
        values = {"mean": mean, "std": (squares / count - mean.square()).clamp_min(0).sqrt()}
        return [F.normalize(values[statistic].float(), dim=1) for statistic in self.statistics]

    def as_card(self) -> dict[str, object]:
        """What a card says of it."""
        return asdict(self)


def pool_of(card: Mapping[str, Any]) -> Pool:
    """The pool that a card declares, the papers' where it declares none; ``ValueError`` names the key."""
    given = card.get("pool", {})
    if not isinstance(given, Mapping) or not given.keys() <= Pool.__dataclass_fields__.keys():
        raise ValueError(f"pool: {given!r}; its keys are {', '.join(Pool.__dataclass_fields__)}")
    settings: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return Pool(**settings)


def _deviation(features: Tensor) -> Tensor:
    """The standard deviation over the places of each channel [n, channels, h, w]; 0 where there is one place.

    Written out, because torch.std takes four times as long on maps that are channels last.
    """
    return (features - features.mean((2, 3), keepdim=True)).square_().mean((2, 3)).sqrt_()
