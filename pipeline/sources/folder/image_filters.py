"""The filters of a user's images: from the bytes of a file to a source image, or to the reason for refusing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipeline import images
from pipeline.artifacts import sha256_bytes
from pipeline.params.sections import FolderParams

LIMIT = 2**28
"""Bytes of one file: 256 MiB."""

MAX_PIXELS = images.MAX_PIXELS
"""Pixels of one image; a larger one is refused before it is decoded."""


@dataclass(frozen=True)
class Filtered:
    """An accepted image (uint8 H x W x 3) and what was done to it, or the reason for refusing it (image None)."""

    image: np.ndarray | None
    reason: str = ""
    mode: str = ""
    actions: tuple[str, ...] = ()
    sha256: str = ""

    def facts(self) -> dict[str, Any]:
        """What a table keeps: sizes and hashes, no pixels."""
        height, width = (0, 0) if self.image is None else self.image.shape[:2]
        pixels = "" if self.image is None else sha256_bytes(f"{height}x{width}/".encode() + self.image.tobytes())
        return {
            "mode": self.mode,
            "actions": list(self.actions),
            "sha256": self.sha256,
            "pixels_sha256": pixels,
            "height": height,
            "width": width,
        }


def apply_filters(data: bytes, rules: FolderParams) -> Filtered:
    """Decode (into sRGB, over white, upright), trim, reduce and judge ``data``.

    Reasons: ``broken`` (cut, damaged), ``format`` (GIF, TIFF, AVIF, whatever is not read), ``animated``, ``colour
    mode`` (CMYK, floats), ``too large``, ``transparent``, ``profile`` (unreadable, HDR, inside a JPEG XL), ``blank``,
    ``small``, ``grey``.
    """
    try:
        image, facts = images.decode_with_facts(data, max_pixels=MAX_PIXELS)
    except images.ImageError as error:
        return Filtered(None, error.reason)
    mode = facts.mode
    if facts.colour_profile == images.UNREADABLE:
        return Filtered(None, "profile", mode)
    if facts.transparent > rules.max_transparent:
        return Filtered(None, "transparent", mode)
    actions = ["over white"] if facts.transparent else []
    actions += ["to sRGB"] if facts.colour_profile else []
    actions += ["upright"] if facts.orientation != 1 else []
    trimmed = _trimmed(image) if rules.trim else image
    if trimmed.size == 0 or images.luma(trimmed).std() < rules.min_contrast:
        return Filtered(None, "blank", mode)
    actions += ["trimmed"] if trimmed.shape != image.shape else []
    image, reduced = _reduced(trimmed, rules.max_side)
    actions += ["reduced"] if reduced else []
    if min(image.shape[:2]) < rules.min_side:
        return Filtered(None, "small", mode)
    if _is_grey(image):
        if not rules.allow_grey:
            return Filtered(None, "grey", mode)
        actions.append("grey")
    return Filtered(np.ascontiguousarray(image), "", mode, tuple(actions), sha256_bytes(data))


def _trimmed(image: np.ndarray) -> np.ndarray:
    """Without the rows and columns at the borders whose channels all vary by less than 1 grey level."""
    for axis in (1, 0):
        busy = np.flatnonzero(image.std(axis=axis, dtype=np.float32).max(axis=1) >= 1)
        if busy.size == 0:
            return image[:0]
        cut = slice(busy[0], busy[-1] + 1)
        image = image[cut] if axis == 1 else image[:, cut]
    return image


def _reduced(image: np.ndarray, largest: int | None) -> tuple[np.ndarray, bool]:
    height, width = image.shape[:2]
    if largest is None or max(height, width) <= largest:
        return image, False
    scale = largest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)), True


def _is_grey(image: np.ndarray) -> bool:
    red, green, blue = np.moveaxis(image.astype(np.int16), 2, 0)
    near = (np.abs(red - green) <= 2) & (np.abs(green - blue) <= 2)
    return bool(near.mean() >= 0.99)
