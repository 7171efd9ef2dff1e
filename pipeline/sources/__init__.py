"""Images that no camera took, and folders of images that somebody has: sets of sources, by index.

``maker`` is the entry. Everything else (geometry, laws, textures, statistics) is importable from its own module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.sources.listing import SourceError
from pipeline.sources.makers import Maker

if TYPE_CHECKING:
    from pipeline.sources.folder import Mapper
    from pipeline.sources.metadata import PostRules
    from pipeline.sources.vetting import ImageRules

__all__ = ["Maker", "SourceError", "compile_kernels", "maker"]


def maker(
    set_name: str,
    *,
    seed: int,
    count: int = 48,
    height: int = 512,
    width: int = 512,
    r_min: float = 1.0,
    r_max: float | None = None,
    exponent: float = 3.0,
    alpha: float = 0.5,
    supersample: int = 1,
    shape: str = "disc",
    palette_folder: Path | None = None,
    texture_folder: Path | None = None,
    folder: Path | None = None,
    image_rules: ImageRules | None = None,
    post_rules: PostRules | None = None,
    mapper: Mapper = map,
) -> Maker:
    """The set ``set_name``: ``dead_leaves``, ``textured_dead_leaves``, ``photos``, or any other name with a ``folder``.

    ``count`` images of ``height`` x ``width`` pixels, image ``i`` the same whatever ``count`` is (``photos`` has its
    five at their own sizes). Radii have density r^-``exponent`` on [``r_min``, ``r_max``] pixels (None: the longer
    side). ``alpha`` in [0, 1] is the weight of a texture. ``supersample`` 1..8 draws that many times finer and
    averages; 1 is the papers' hard edge. ``shape``: ``disc``, ``ellipse`` or ``polygon``. ``palette_folder`` and
    ``texture_folder`` replace the packaged photographs and the embedded textures.

    ``folder`` (a folder tree, a .tar, a .txt or .jsonl list: Danbooru, KADIS, one's own photographs) gives the
    ``count`` images with the smallest keyed hashes that pass ``image_rules`` and ``post_rules``; ``mapper(function,
    tasks)`` decodes the candidates (an engine's map). ``SourceError`` names the value that is impossible or the folder
    that gives too little, with the reasons counted.
    """
    from pipeline.sources import makers

    if set_name == "photos":
        return makers.photographs_maker()
    if set_name in ("dead_leaves", "textured_dead_leaves"):
        return makers.leaves_maker(
            textured=set_name == "textured_dead_leaves",
            count=count,
            seed=seed,
            height=height,
            width=width,
            r_min=r_min,
            r_max=r_max,
            exponent=exponent,
            alpha=alpha,
            supersample=supersample,
            shape=shape,
            palette_folder=palette_folder,
            texture_folder=texture_folder,
        )
    if folder is not None:
        from pipeline.sources.folder import choose

        return choose(Path(folder), seed=seed, count=count, rules=image_rules, posts=post_rules, mapper=mapper)
    raise SourceError(f"sources: {set_name!r} is none of dead_leaves, textured_dead_leaves, photos and has no folder")


def compile_kernels() -> None:
    """Fill numba's cache; called once in the driver, so that no two workers compile (about 15 s the first time)."""
    from pipeline.sources import fields, forms, laying, raster, shading  # noqa: F401  (importing compiles: signatures are explicit)
