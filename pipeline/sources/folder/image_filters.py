"""The filters of a user's images: from the bytes of a file to a source image, or to the reason for refusing it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pipeline import images
from pipeline.artifacts import sha256_bytes
from pipeline.images.jxl import jxl_header
from pipeline.params.sections import FolderParams

LIMIT = 2**28
"""Bytes of one file: 256 MiB."""

MAX_PIXELS = images.MAX_PIXELS
"""Pixels of one image; a larger one is refused before it is decoded."""

_UNKNOWN = b"the colours of a JPEG XL that are not sRGB's: its decoder gives no profile to convert them by"
_PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError)
"""ValueError: the four letters of a damaged profile's colour space need not be ASCII, and Pillow decodes them so."""


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
    """Decode, lay over white, bring to sRGB, trim, reduce and judge ``data``.

    Reasons: ``broken`` (truncated), ``format`` (GIF, TIFF, AVIF, whatever is not read), ``animated``, ``colour mode``
    (CMYK, floats), ``too large``, ``transparent``, ``profile`` (unreadable; of JPEG XL any but sRGB), ``blank``,
    ``small``, ``grey``.
    """
    try:
        image = images.decode(data, max_pixels=MAX_PIXELS)
    except images.ImageError as error:
        return Filtered(None, _reason(str(error)))
    mode, transparent, profile = _header(data)
    if transparent > rules.max_transparent:
        return Filtered(None, "transparent", mode)
    actions = ["over white"] if transparent else []
    if profile:
        try:
            image = _to_srgb(image, profile)
        except _PROFILE_ERRORS:
            return Filtered(None, "profile", mode)
        actions.append("to sRGB")
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


def _reason(message: str) -> str:
    for words, reason in (
        (("animation",), "animated"),
        (("not a PNG",), "format"),
        (("over the cap",), "too large"),
        (("CMYK", "colour mode", "channels", "samples of type", "floating-point", "multiplied by"), "colour mode"),
    ):
        if any(word in message for word in words):
            return reason
    return "broken"


def _header(data: bytes) -> tuple[str, float, bytes]:
    """Mode of the file, share of transparent pixels, and its colour profile unless that is sRGB's."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "BMP", "QOI")) as picture:
            share = 0.0
            if picture.has_transparency_data:
                share = float((np.asarray(picture.convert("RGBA"))[..., 3] < 128).mean())
            return picture.mode, share, _foreign(picture.info.get("icc_profile", b""))
    except UnidentifiedImageError:  # JPEG XL, which Pillow does not know
        header = jxl_header(data)
        share = images.jxl_transparent_share(data) if header.alpha else 0.0
        return "RGBA" if header.alpha else "RGB", share, b"" if header.srgb else _UNKNOWN


def _foreign(profile: bytes) -> bytes:
    """``profile`` if it is a colour space other than sRGB, by its description; grey profiles are passed over."""
    if not profile:
        return b""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        same = "srgb" in ImageCms.getProfileDescription(opened).lower() or opened.profile.xcolor_space.strip() != "RGB"
    except _PROFILE_ERRORS:
        return profile  # _to_srgb refuses it
    return b"" if same else profile


def _to_srgb(image: np.ndarray, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(Image.fromarray(image), source, ImageCms.createProfile("sRGB"))
    return np.asarray(converted)


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
