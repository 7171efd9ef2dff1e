"""Grey textures: the embedded ones, or a folder of images (Brodatz or any other).

Embedded: scikit-image's brick, grass and gravel (CC0, 512 x 512, in the wheel) and the materials of ``materials``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from pipeline import images
from pipeline.artifacts import sha256_bytes
from pipeline.sources.errors import SourceError
from pipeline.sources.image_files import image_files

PACKAGED = ("brick", "grass", "gravel")
SMALLEST, LARGEST = 256, 1024
"""A shorter side below the first is enlarged to it, a longer side above the second is reduced to it; pixels."""

MOST, LONGEST = 1024, 16
"""Most files of a folder, and the largest ratio of two sides: then 32 bits count the pixels of an atlas."""


@dataclass(frozen=True)
class Atlas:
    """All textures one after another: ``pixels`` uint8 [sum H W], ``shapes`` int64 [T, 3] of first index, H, W."""

    names: tuple[str, ...]
    pixels: np.ndarray
    shapes: np.ndarray

    @cached_property
    def sha256(self) -> str:
        """Hash of the pixels, sizes and names: what enters a fingerprint."""
        return sha256_bytes(repr((self.names, self.shapes.tolist(), sha256_bytes(self.pixels.data))).encode())


def _atlas(named: list[tuple[str, np.ndarray]]) -> Atlas:
    sizes = np.array([texture.size for _, texture in named], np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    shapes = np.stack([first, [t.shape[0] for _, t in named], [t.shape[1] for _, t in named]], axis=1).astype(np.int64)
    return Atlas(tuple(name for name, _ in named), np.concatenate([t.ravel() for _, t in named]), shapes)


@lru_cache(maxsize=1)
def embedded() -> Atlas:
    """Scikit-image's three textures and the materials, all 512 x 512; the same in every process."""
    from pipeline.sources.textures import materials

    packaged = [(name, _grey(images.read(Path(str(files("skimage") / "data" / f"{name}.png"))))) for name in PACKAGED]
    return _atlas(packaged + [(name, materials.make(name)) for name in materials.NAMES])


@lru_cache(maxsize=2)
def folder(root: Path) -> Atlas:
    """Every image under ``root`` (in order of its relative path) as a grey texture.

    At most 1,024 files; shorter sides below 256 are enlarged, longer ones above 1,024 reduced. ``SourceError`` if there
    is none, too many, or one over 16 times as long as wide; ``ImageError`` for one that cannot be read.
    """
    paths = image_files(root)
    if not paths or len(paths) > MOST:
        raise SourceError(f"textures: {root} has {len(paths)} images, allowed 1 to {MOST}")
    return _atlas([(path.relative_to(root).as_posix(), _read(path)) for path in paths])


def _read(path: Path) -> np.ndarray:
    image = images.read(path)
    height, width = image.shape[:2]
    if max(height, width) > LONGEST * min(height, width):
        raise SourceError(f"textures: {path}: {width} x {height} pixels, one side is over {LONGEST} times the other")
    return _fitted(_grey(image))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(np.floor(images.luma(image) + 0.5), np.uint8)


def _fitted(texture: np.ndarray) -> np.ndarray:
    import cv2

    scale = max(SMALLEST / min(texture.shape), 1.0) if max(texture.shape) <= LARGEST else LARGEST / max(texture.shape)
    scale = max(scale, SMALLEST / min(texture.shape))
    if scale == 1.0:
        return texture
    size = (round(texture.shape[1] * scale), round(texture.shape[0] * scale))
    return np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
