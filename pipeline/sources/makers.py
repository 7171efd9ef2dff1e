"""A set of source images by index: what the sources stage maps over. Picklable, and cheap to make in a worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.seeding import generator
from pipeline.sources import dead_leaves, palettes, render
from pipeline.sources import textures as grey_textures
from pipeline.sources.law import SHAPES, HittingLaw
from pipeline.sources.listing import SourceError

FORMAT = 1
"""Raised whenever the pixels of a drawn image change; it enters every fingerprint."""

Recipe = dict[str, Any]


class Maker(Protocol):
    """What a set of sources offers."""

    @property
    def count(self) -> int:
        """Number of images."""

    def make(self, index: int) -> tuple[np.ndarray, Recipe]:
        """Image ``index`` (uint8 H x W x 3) and how it came about (a dict that JSON can hold)."""

    def inputs(self, indices: range | None = None) -> Recipe:
        """What decides the pixels of the images ``indices`` (all if None), for a fingerprint; JSON can hold it."""


@dataclass(frozen=True)
class LeavesSettings:
    """How dead leaves are drawn; lengths in pixels of the image. See ``maker`` for the ranges."""

    height: int
    width: int
    r_min: float
    r_max: float
    exponent: float
    alpha: float
    supersample: int
    shape: str = "disc"


@dataclass(frozen=True)
class LeavesMaker:
    """Dead leaves, plain (``textures`` None) or textured (a folder, or "embedded").

    Image ``index`` of both has the same leaves in the same colours: they draw from the same streams.
    """

    count: int
    seed: int
    settings: LeavesSettings
    photographs: tuple[palettes.Photograph, ...]
    textures: str | Path | None = None

    def make(self, index: int) -> tuple[np.ndarray, Recipe]:
        """Image ``index`` and its recipe; ``IndexError`` outside 0..count-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"sources: image {index} of {self.count}")
        s = self.settings
        geometry = dead_leaves.geometry(
            generator(self.seed, "sources/geometry", index),
            s.height * s.supersample,
            s.width * s.supersample,
            s.r_min * s.supersample,
            s.r_max * s.supersample,
            s.exponent,
            s.shape,
        )
        photograph = self.photographs[index % len(self.photographs)]
        colour = render.colours(
            generator(self.seed, "sources/colours", index), photograph.pixels(), len(geometry.leaves)
        )
        recipe = {"kind": self.kind, "seed": self.seed, "index": index, **asdict(s)} | {
            "leaves": len(geometry.leaves),
            "palette": {"name": photograph.name, "sha256": photograph.sha256},
        }
        atlas = self.atlas()
        if atlas is None:
            recipe.pop("alpha")
            return render.plain(geometry, colour, supersample=s.supersample), recipe
        placing = generator(self.seed, "sources/textures", index)
        placement = grey_textures.place(placing, geometry, atlas, supersample=s.supersample)
        image = render.textured(geometry, colour, atlas, placement, alpha=s.alpha, supersample=s.supersample)
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
        """Settings, seed, hashes of the photographs in their order, hash of the textures; the same for all images."""
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


@dataclass(frozen=True)
class PhotographsMaker:
    """Photographs that ship with packages, at their own size: the set ``photos``."""

    photographs: tuple[palettes.Photograph, ...]

    @property
    def count(self) -> int:
        """Number of photographs."""
        return len(self.photographs)

    def make(self, index: int) -> tuple[np.ndarray, Recipe]:
        """Photograph ``index`` and its name and sha256; ``IndexError`` outside 0..count-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"sources: image {index} of {self.count}")
        photograph = self.photographs[index]
        recipe = {"kind": "photographs", "index": index, "name": photograph.name, "sha256": photograph.sha256}
        return photograph.pixels().copy(), recipe

    def inputs(self, indices: range | None = None) -> Recipe:
        """Hashes of the files, in order."""
        indices = range(self.count) if indices is None else indices
        return {
            "format": FORMAT,
            "kind": "photographs",
            "photographs": [self.photographs[index].sha256 for index in indices],
        }


def leaves_maker(
    *,
    textured: bool,
    count: int,
    seed: int,
    height: int,
    width: int,
    r_min: float,
    r_max: float | None,
    exponent: float,
    alpha: float,
    supersample: int,
    shape: str,
    palette_folder: Path | None,
    texture_folder: Path | None,
) -> LeavesMaker:
    """Check the values and gather the photographs; ``SourceError`` names what is impossible."""
    if count < 1:
        raise SourceError(f"sources: count {count}, allowed from 1")
    if not 0 <= alpha <= 1:
        raise SourceError(f"sources: alpha {alpha}, allowed 0 to 1")
    if not 1 <= supersample <= 8:
        raise SourceError(f"sources: supersample {supersample}, allowed 1 to 8")
    if shape not in SHAPES:
        raise SourceError(f"sources: shape {shape!r}, allowed {', '.join(SHAPES)}")
    largest = float(max(height, width)) if r_max is None else float(r_max)
    try:
        HittingLaw(height * supersample, width * supersample, r_min * supersample, largest * supersample, exponent)
    except ValueError as error:
        raise SourceError(str(error)) from None
    settings = LeavesSettings(height, width, float(r_min), largest, float(exponent), float(alpha), supersample, shape)
    photographs = palettes.packaged() if palette_folder is None else palettes.folder(Path(palette_folder))
    with_textures = ("embedded" if texture_folder is None else Path(texture_folder)) if textured else None
    return LeavesMaker(count, seed, settings, photographs, with_textures)


def photographs_maker() -> PhotographsMaker:
    """The set ``photos``: five photographs of scikit-image's wheel."""
    return PhotographsMaker(palettes.packaged(palettes.PHOTOGRAPHS))
