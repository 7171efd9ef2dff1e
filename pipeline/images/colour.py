"""Conversion of other colour spaces to sRGB, by LittleCMS.

An image without a declared colour space is sRGB. A profile that gives the same colours as sRGB within two levels
changes nothing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from pipeline.images.arrays import ImageError

UNREADABLE = "unreadable, taken as sRGB"
ROWS = 256  # of an image that are widened at once
_SAME = 2  # levels; the sRGB profiles of different makers differ by one or two
_GREY, _RGB = "GRAY", "RGB"
D65 = (0.3127, 0.3290)
# code points of ITU-T H.273, which PNG's cICP has and JPEG XL is near to; all with a white of D65
PRIMARIES = {
    1: ("sRGB", (0.640, 0.330, 0.300, 0.600, 0.150, 0.060)),
    9: ("BT.2020", (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    12: ("Display P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
}
_SRGB = 13
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_CURVES = {**dict.fromkeys((1, 6, 14, 15), "BT.709's curve"), 4: "gamma 2.2", 5: "gamma 2.8", 8: "linear", _SRGB: ""}
_HDR = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True)
class ColourSpace:
    """An ICC profile, and what to call it (empty: by its own description)."""

    profile: bytes
    name: str = ""


def coded(primaries: int, transfer: int) -> ColourSpace | None:
    """The colour space of two code points of H.273; None for sRGB. :class:`ImageError` for others than are known."""
    if (primaries, transfer) == (1, _SRGB):
        return None
    if transfer in _HDR:
        raise ImageError(f"high dynamic range ({_HDR[transfer]}) is not handled: convert it to sRGB first", "profile")
    if primaries not in PRIMARIES or transfer not in _CURVES:
        raise ImageError(
            f"H.273's colours {primaries}, {transfer} are not handled: convert it to sRGB first", "profile"
        )
    name, xy = PRIMARIES[primaries]
    return ColourSpace(_matrix_profile(D65, xy, _curve(transfer)), ", ".join(filter(None, (name, _CURVES[transfer]))))


def measured(gamma: float, chromaticities: tuple[float, ...] | None) -> ColourSpace | None:
    """The colour space of PNG's gAMA (the exponent of encoding) and cHRM (white, red, green, blue); None for sRGB."""
    if not 0.1 <= gamma <= 10 or (chromaticities is not None and not all(0 < value < 1 for value in chromaticities)):
        return ColourSpace(b"")
    white, xy = (chromaticities[:2], chromaticities[2:]) if chromaticities else (D65, PRIMARIES[1][1])
    near_srgb = np.allclose((*white, *xy), (*D65, *PRIMARIES[1][1]), atol=0.005)
    if near_srgb and abs(gamma - 1 / 2.2) < 0.01:  # how PNG declared sRGB before it had a chunk for it
        return None
    return ColourSpace(_matrix_profile(white, xy, 1 / gamma), f"gamma {1 / gamma:.3g}")


def adobe_rgb() -> ColourSpace:
    """Adobe RGB (1998), which cameras declare by EXIF's interoperability index R03, without a profile."""
    return ColourSpace(bytes(imagecodecs.cms_profile("adobergb")), "Adobe RGB (EXIF R03)")


def to_srgb(pixels: np.ndarray, top: int, space: ColourSpace) -> tuple[np.ndarray, str]:
    """Samples H x W x 1 or 3 of 0..``top`` in ``space`` -> uint8 in sRGB, and the space's name.

    The name is empty if no conversion was needed. A profile of another kind than the pixels (for CMYK, or for grey
    where there are colours) is ignored. So is one that cannot be read; the name is then :data:`UNREADABLE`.
    """
    kind, name, transform = _transform(space)
    if transform is None or (kind == _GREY and pixels.shape[2] != 1):
        return eight_bits(pixels, top), name if transform is None else ""
    pixels = pixels[..., 0] if kind == _GREY else np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    if top > 255:  # Pillow has no 16-bit RGB; 8 bits of linear light would leave few steps in the dark
        deep = ((pixels.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)
        colours, srgb = ("gray" if kind == _GREY else "rgb"), imagecodecs.cms_profile("srgb")
        made = imagecodecs.cms_transform(
            deep, space.profile, srgb, colorspace=colours, outcolorspace="rgb", outdtype=np.uint8
        )
        return np.asarray(made), name
    return np.asarray(ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(pixels)), transform)), name


def eight_bits(pixels: np.ndarray, top: int) -> np.ndarray:
    """Samples of 0..``top`` (uint8 or uint16) rounded to uint8; of 16 bits 257 steps are one."""
    if top == 255:
        return pixels
    rounded = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), ROWS):  # the whole in uint32 would take four times the samples' memory
        rows = slice(start, start + ROWS)
        rounded[rows] = (pixels[rows].astype(np.uint32) * 510 + top) // (2 * top)
    return rounded


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """uint8 H x W x channels under ``alpha`` (uint8 H x W x 1, 255: opaque), laid over white."""
    laid = np.empty(colours.shape, np.uint8)
    for start in range(0, len(colours), ROWS):
        rows = slice(start, start + ROWS)
        opaque = alpha[rows].astype(np.uint16)
        laid[rows] = (colours[rows] * opaque + 255 * (255 - opaque) + 127) // 255
    return laid


@lru_cache(maxsize=32)
def _transform(space: ColourSpace) -> tuple[str, str, ImageCms.ImageCmsTransform | None]:
    """GRAY or RGB, the name, and the transform to sRGB; None where no conversion is needed."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(space.profile))
        kind = profile.profile.xcolor_space.strip()
        if kind not in (_GREY, _RGB):
            return kind, "", None
        mode = "L" if kind == _GREY else "RGB"
        flags = ImageCms.Flags.NOCACHE  # a cache of the last pixel is not safe in threads
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags)
        name = space.name or " ".join(ImageCms.getProfileDescription(profile).split())
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # damaged in any part
        return "", UNREADABLE, None
    grid = _grid(kind)
    seen = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), transform)).astype(int)
    grid = grid if grid.ndim == 3 else np.repeat(grid[..., None], 3, axis=2)
    if np.abs(seen - grid).max() <= _SAME:
        return kind, "", None
    return kind, "".join(letter for letter in name if letter.isprintable()) or "a profile without a name", transform


def _grid(kind: str) -> np.ndarray:
    """All greys, or 9 x 9 x 9 colours, as an image."""
    if kind == _GREY:
        return np.arange(256, dtype=np.uint8)[None]
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)


def _curve(transfer: int) -> float | np.ndarray:
    """A transfer characteristic of H.273: an exponent, or light for 4,096 equal steps of the signal."""
    if transfer in _GAMMAS:
        return _GAMMAS[transfer]
    signal = np.linspace(0, 1, 4096)
    knee, slope, offset, power = (0.04045, 12.92, 0.055, 2.4) if transfer == _SRGB else (0.081, 4.5, 0.099, 1 / 0.45)
    return np.where(signal <= knee, signal / slope, ((signal + offset) / (1 + offset)) ** power)


def _matrix_profile(white: tuple[float, ...], xy: tuple[float, ...], curve: float | np.ndarray) -> bytes:
    corners = [value for k in (0, 2, 4) for value in (xy[k], xy[k + 1], 1.0)]
    gamma, table = (curve, None) if isinstance(curve, float) else (None, curve.astype(np.float32))
    profile = imagecodecs.cms_profile(
        "rgb", whitepoint=[*white, 1.0], primaries=corners, transferfunction=table, gamma=gamma
    )
    return bytes(profile)
