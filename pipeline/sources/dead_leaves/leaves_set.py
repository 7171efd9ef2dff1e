"""The sets ``dead_leaves`` and ``textured_dead_leaves``: images by index, each drawn from its own random streams."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.seeding import generator
from pipeline.sources import palettes
from pipeline.sources.dead_leaves import paint, texture_placement
from pipeline.sources.dead_leaves.depth_of_field import blur_by_depth
from pipeline.sources.dead_leaves.geometry import geometry
from pipeline.sources.dead_leaves.leaf import Shape, shares
from pipeline.sources.dead_leaves.radius_law import HittingLaw
from pipeline.sources.dead_leaves.shading import shade
from pipeline.sources.errors import SourceError
from pipeline.sources.photographs import Photograph
from pipeline.sources.textures import atlas as grey_textures

FORMAT = 1
"""Raised whenever the pixels of a drawn image change; it enters every fingerprint."""

Recipe = dict[str, Any]


@dataclass(frozen=True)
class LeavesSettings:
    """How dead leaves are drawn; lengths in pixels of the image. ``SourceError`` names a value that is impossible.

    Radii have density r^-``exponent`` on [``r_min``, ``r_max``]. ``alpha`` in [0, 1] is the weight of a texture.
    ``supersample`` 1..8 draws that many times finer and averages; 1 gives the papers' hard edges. ``shape``: ``disc``,
    ``ellipse`` or ``polygon``, or the share of each. ``shading`` in [0, 1] is the strongest ramp of light across a
    leaf, ``depth_blur`` in [0, 32] the largest sigma of leaves out of focus.
    """

    height: int
    width: int
    r_min: float
    r_max: float
    exponent: float
    alpha: float
    supersample: int
    shape: Shape = "disc"
    shading: float = 0.0
    depth_blur: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name, value, low, high in (
            ("alpha", self.alpha, 0, 1),
            ("supersample", self.supersample, 1, 8),
            ("shading", self.shading, 0, 1),
            ("depth_blur", self.depth_blur, 0, 32),
        ):
            if not low <= value <= high:
                raise SourceError(f"sources: {name} {value}, allowed {low} to {high}")
        try:
            self.law()
            shares(self.shape)
        except ValueError as error:
            raise SourceError(str(error)) from None

    def law(self) -> HittingLaw:
        """The law of the leaves, in labels: there are ``supersample`` x ``supersample`` of them in a pixel."""
        fine = self.supersample
        return HittingLaw(self.height * fine, self.width * fine, self.r_min * fine, self.r_max * fine, self.exponent)

    def recorded(self, *, textured: bool) -> Recipe:
        """What a recipe keeps: without ``alpha`` for plain leaves, and without later options that are off."""
        settings = {**asdict(self), "shape": self.shape if isinstance(self.shape, str) else dict(self.shape)}
        absent = {name for name in ("shading", "depth_blur") if not settings[name]} | (set() if textured else {"alpha"})
        return {name: value for name, value in settings.items() if name not in absent}


@dataclass(frozen=True)
class DeadLeavesSet:
    """Dead leaves, plain (``textures`` None) or textured (a folder, or "embedded").

    Image ``index`` of both has the same leaves in the same colours: they draw from the same streams. ``photographs``
    give the colours; None: each image draws a palette.
    """

    count: int
    seed: int
    settings: LeavesSettings
    photographs: tuple[Photograph, ...] | None
    textures: str | Path | None = None

    def make(self, index: int) -> tuple[np.ndarray, Recipe]:
        """Image ``index`` (uint8 H x W x 3) and its recipe (JSON-able); ``IndexError`` outside 0..count-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"sources: image {index} of {self.count}")
        settings, fine, atlas = self.settings, self.settings.supersample, self.atlas()
        leaves = geometry(self._generator("geometry", index), settings.law(), settings.shape)
        colours, palette = self._colours(index, len(leaves.leaves))
        recipe = {"kind": self.kind, "seed": self.seed, "index": index}
        recipe |= settings.recorded(textured=atlas is not None) | {"leaves": len(leaves.leaves), "palette": palette}
        if atlas is None:
            image = paint.plain(leaves, colours, supersample=fine)
        else:
            placement = texture_placement.place(self._generator("textures", index), leaves, atlas, supersample=fine)
            image = paint.textured(leaves, colours, atlas, placement, alpha=settings.alpha, supersample=fine)
            recipe["textures"] = {"count": len(atlas.names), "sha256": atlas.sha256}
        if settings.shading:
            image = shade(image, leaves, self._generator("shading", index), settings.shading, supersample=fine)
        if settings.depth_blur:
            focus = recipe["focus"] = float(self._generator("focus", index).random())
            image = blur_by_depth(image, leaves, focus, settings.depth_blur, supersample=fine)
        return image, recipe

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
        atlas, photographs = self.atlas(), self.photographs
        return {
            "format": FORMAT,
            "kind": self.kind,
            "seed": self.seed,
            "settings": self.settings.recorded(textured=atlas is not None),
            "palettes": "drawn" if photographs is None else [[each.name, each.sha256] for each in photographs],
            "textures": None if atlas is None else atlas.sha256,
        }

    def _generator(self, part: str, index: int) -> np.random.Generator:
        return generator(self.seed, f"sources/{part}", index)

    def _colours(self, index: int, number: int) -> tuple[np.ndarray, Recipe]:
        """Uint8 [number, 3], and the palette that they come from."""
        if self.photographs is None:
            return palettes.draw(self._generator("palettes", index), number), {"name": "drawn"}
        photograph = self.photographs[index % len(self.photographs)]
        colours = paint.draw_colours(self._generator("colours", index), photograph.pixels(), number)
        return colours, {"name": photograph.name, "sha256": photograph.sha256}
