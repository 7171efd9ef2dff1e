"""The sets ``dead_leaves`` and ``textured_dead_leaves``: images by index, each drawn from its own random streams."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.seeding import generator
from pipeline.sources.dead_leaves import paint, texture_placement
from pipeline.sources.dead_leaves.geometry import geometry
from pipeline.sources.dead_leaves.radius_law import SHAPES, HittingLaw
from pipeline.sources.errors import SourceError
from pipeline.sources.photographs import Photograph
from pipeline.sources.textures import atlas as grey_textures

FORMAT = 1
"""Raised whenever the pixels of a drawn image change; it enters every fingerprint."""

Recipe = dict[str, Any]


@dataclass(frozen=True)
class LeavesSettings:
    """How dead leaves are drawn; lengths in pixels of the image. A recipe records all of it.

    Radii have density r^-``exponent`` on [``r_min``, ``r_max``]. ``alpha`` in [0, 1] is the weight of a texture.
    ``supersample`` 1..8 draws that many times finer and averages; 1 gives the papers' hard edges. ``shape``: ``disc``,
    ``ellipse`` or ``polygon``. ``SourceError`` names a value that is impossible.
    """

    height: int
    width: int
    r_min: float
    r_max: float
    exponent: float
    alpha: float
    supersample: int
    shape: str = "disc"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not 0 <= self.alpha <= 1:
            raise SourceError(f"sources: alpha {self.alpha}, allowed 0 to 1")
        if not 1 <= self.supersample <= 8:
            raise SourceError(f"sources: supersample {self.supersample}, allowed 1 to 8")
        if self.shape not in SHAPES:
            raise SourceError(f"sources: shape {self.shape!r}, allowed {', '.join(SHAPES)}")
        try:
            self.law()
        except ValueError as error:
            raise SourceError(str(error)) from None

    def law(self) -> HittingLaw:
        """The law of the leaves, in labels: there are ``supersample`` x ``supersample`` of them in a pixel."""
        fine = self.supersample
        return HittingLaw(self.height * fine, self.width * fine, self.r_min * fine, self.r_max * fine, self.exponent)


@dataclass(frozen=True)
class DeadLeavesSet:
    """Dead leaves, plain (``textures`` None) or textured (a folder, or "embedded").

    Image ``index`` of both has the same leaves in the same colours: they draw from the same streams.
    """

    count: int
    seed: int
    settings: LeavesSettings
    photographs: tuple[Photograph, ...]
    textures: str | Path | None = None

    def make(self, index: int) -> tuple[np.ndarray, Recipe]:
        """Image ``index`` (uint8 H x W x 3) and its recipe (JSON-able); ``IndexError`` outside 0..count-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"sources: image {index} of {self.count}")
        settings, fine = self.settings, self.settings.supersample
        leaves = geometry(generator(self.seed, "sources/geometry", index), settings.law(), settings.shape)
        photograph = self.photographs[index % len(self.photographs)]
        colours = paint.draw_colours(
            generator(self.seed, "sources/colours", index), photograph.pixels(), len(leaves.leaves)
        )
        recipe = {"kind": self.kind, "seed": self.seed, "index": index, **asdict(settings)} | {
            "leaves": len(leaves.leaves),
            "palette": {"name": photograph.name, "sha256": photograph.sha256},
        }
        atlas = self.atlas()
        if atlas is None:
            recipe.pop("alpha")
            return paint.plain(leaves, colours, supersample=fine), recipe
        placement = texture_placement.place(
            generator(self.seed, "sources/textures", index), leaves, atlas, supersample=fine
        )
        image = paint.textured(leaves, colours, atlas, placement, alpha=settings.alpha, supersample=fine)
        return image, recipe | {"textures": {"count": len(atlas.names), "sha256": atlas.sha256}}

    @property
    def kind(self) -> str:
        """``dead_leaves`` or ``textured_dead_leaves``."""
        return "dead_leaves" if self.textures is None else "textured_dead_leaves"

    def atlas(self) -> grey_textures.Atlas | None:
        """The textures, read or made once a process; None for plain leaves."""
        if self.textures is None:
            return None
        if self.textures == "embedded":
            return grey_textures.embedded()
        return grey_textures.folder(Path(self.textures))

    def inputs(self, indices: range | None = None) -> Recipe:
        """What decides the pixels, the same for all images: settings, seed, sha256 of photographs and textures."""
        atlas = self.atlas()
        settings = asdict(self.settings)
        if atlas is None:
            settings.pop("alpha")
        return {
            "format": FORMAT,
            "kind": self.kind,
            "seed": self.seed,
            "settings": settings,
            "palettes": [[photograph.name, photograph.sha256] for photograph in self.photographs],
            "textures": None if atlas is None else atlas.sha256,
        }
