"""What a file declares about its colours and orientation, wherever its format keeps that."""

from __future__ import annotations

import io

import imagecodecs
from PIL import Image

from pipeline.images.arrays import ImageError
from pipeline.images.colour import D65, PRIMARIES, ColourSpace, adobe_rgb, coded, measured
from pipeline.images.jxl import JxlHeader
from pipeline.images.orientation import UPRIGHT

_ORIENTATION, _INTEROPERABILITY, _INDEX = 274, 0xA005, 1  # tags of EXIF 2.32
_EXIF = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
_JXL_P3, _P3_D65 = 11, 12
_PROFILE_INSIDE = "a JPEG XL with a colour profile, which its decoder does not hand on: convert it to sRGB first"


def orientation_of(picture: Image.Image, data: bytes) -> int:
    """The orientation in EXIF (or XMP) as Pillow finds it, 1..8; 1 where there is none, or it is broken."""
    if not _EXIF & picture.info.keys() and (picture.format != "PNG" or b"eXIf" not in data):
        return UPRIGHT  # Pillow would look for it; in a PNG even behind the pixels
    try:
        value = picture.getexif().get(_ORIENTATION)
    except Exception:  # broken in any way that bytes can be: it says nothing
        return UPRIGHT
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def colour_of(picture: Image.Image) -> ColourSpace | None:
    """The colour space of an opened JPEG or WebP: its profile, or what EXIF says; None for sRGB and for none."""
    if profile := picture.info.get("icc_profile"):
        return ColourSpace(profile)
    if "exif" not in picture.info:
        return None
    try:
        index = picture.getexif().get_ifd(_INTEROPERABILITY).get(_INDEX)
    except Exception:  # as above
        return None
    return adobe_rgb() if index == "R03" else None


def png_colour(picture: Image.Image, data: bytes) -> ColourSpace | None:
    """The colour space of an opened PNG: cICP before iCCP before sRGB before gAMA and cHRM (PNG 3, section 4.3)."""
    info, position = picture.info, data.find(b"\0\0\0\4cICP", 8, data.find(b"IDAT"))
    if position > 0:
        primaries, transfer, matrix, full = data[position + 8 : position + 12]
        if (matrix, full) != (0, 1):
            raise ImageError("a PNG whose colours are not RGB of the full range is not handled", "profile")
        return coded(primaries, transfer)
    if profile := info.get("icc_profile"):
        return ColourSpace(profile)
    if "gamma" in info and "srgb" not in info:
        return measured(info["gamma"], info.get("chromaticity"))
    return None


def bmp_profile(data: bytes) -> ColourSpace | None:
    """The colour space of a BMP: the profile that a BITMAPV5HEADER (124 bytes) may hold; of calibrated ones none."""
    if int.from_bytes(data[14:18], "little") < 124 or data[70:74] != b"DEBM":
        return None
    start, length = (int.from_bytes(data[at : at + 4], "little") for at in (126, 130))
    return ColourSpace(data[14 + start : 14 + start + length])


def jxl_colour(header: JxlHeader, data: bytes) -> ColourSpace | None:
    """The colour space of a JPEG XL.

    Its decoder hands on no profile. If the file was made of a JPEG, that JPEG is made again and asked; any other with a
    profile (or another white) raises :class:`ImageError`.
    """
    space = header.space
    if space is None:
        return None
    if space.primaries is not None and space.transfer is not None:
        primaries = _P3_D65 if space.primaries == _JXL_P3 else space.primaries
        if isinstance(space.transfer, float) and primaries in PRIMARIES:
            return measured(space.transfer, (*D65, *PRIMARIES[primaries][1]))
        return coded(primaries, int(space.transfer))
    try:
        jpeg = imagecodecs.jpegxl_decode_jpeg(data, numthreads=1)
    except Exception:  # it was not made of a JPEG
        raise ImageError(_PROFILE_INSIDE, "profile") from None
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
        return colour_of(picture)
