"""The only way from a file to pixels: capped, checked, upright, in plain sRGB.

:func:`decode` reads the size from the header and refuses what is over the cap before a codec sees the file, and what
it cannot turn into RGB without guessing.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from pipeline.file_kinds import file_kind
from pipeline.images.arrays import ImageError
from pipeline.images.colour import ColourSpace, eight_bits, over_white, to_srgb
from pipeline.images.damage import check_jpeg, check_png, check_webp, with_end_marker
from pipeline.images.declared import bmp_profile, colour_of, jxl_colour, orientation_of, png_colour
from pipeline.images.facts import Facts
from pipeline.images.headers import image_size
from pipeline.images.jxl import jxl_header
from pipeline.images.orientation import SIDEWAYS, UPRIGHT, upright

MAX_PIXELS = 2**26  # 8192 x 8192: 192 MiB as RGB
_MOST_BYTES = 8  # of a file for each pixel of the cap: 16 bits of four channels, not compressed
_MOST_METADATA = 2**20
_MODES = {"1": "L", "L": "L", "LA": "LA", "La": "RGBA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}
_MODES["RGBa"] = "RGBA"
_CMYK = "CMYK, which has no meaning without its profile: convert it to RGB first"
_QOI_END = b"\x00" * 7 + b"\x01"
_JXL_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"

# Pillow warns of odd tags and of large pictures, which are refused or passed over here; a filter of each call would not
# be safe in threads
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_bytes(path: Path, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """The bytes of an image file.

    :class:`ImageError` for what is no regular file (opening a pipe would wait for ever) or larger than an image of
    ``max_pixels`` pixels can be; ``OSError`` if it cannot be read.
    """
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode):
        raise ImageError(f"{path}: {'a folder, not an image' if stat.S_ISDIR(state.st_mode) else 'not a regular file'}")
    if state.st_size > _MOST_BYTES * max_pixels + _MOST_METADATA:
        raise ImageError(f"{path}: {state.st_size:,} bytes, more than an image of {max_pixels:,} pixels can have")
    return Path(path).read_bytes()


def read(path: Path, *, max_pixels: int = MAX_PIXELS, as_stored: bool = False) -> np.ndarray:
    """The image in a file, uint8 H x W x 3 RGB. :class:`ImageError` if refused, ``OSError`` if it cannot be read.

    ``as_stored``: the file's own numbers, neither turned nor converted to sRGB.
    """
    data = read_bytes(path, max_pixels=max_pixels)
    return decode_with_facts(data, name=str(path), max_pixels=max_pixels, as_stored=as_stored)[0]


def decode(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode PNG, JPEG, WebP, BMP, QOI or JPEG XL into uint8 H x W x 3 RGB, upright, sRGB.

    Grey becomes three equal channels, a palette is expanded, more than 8 bits are rounded to 8 (of 16: 257 steps to
    one), colours of another space are converted to sRGB (in 8 bits), alpha is laid over white, what is stored turned is
    made upright. Of a JPEG with further pictures behind it (MPF: previews, gain maps) the first is taken. CMYK (no
    meaning without its profile), high dynamic range, floats, animations, other formats, damaged files (as far as
    :mod:`pipeline.images.damage` can see) and images of more than ``max_pixels`` pixels raise :class:`ImageError` with
    ``name`` in its message (Pillow, which decodes PNG, JPEG, WebP and BMP, has a cap of its own at 179 million).
    """
    return decode_with_facts(data, name=name, max_pixels=max_pixels)[0]


def decode_with_facts(
    data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS, as_stored: bool = False
) -> tuple[np.ndarray, Facts]:
    """:func:`decode`, and what was undone to make the image upright sRGB."""
    try:
        kind, size = _header(data, max_pixels)
        stored = _stored(data, kind, size)
        return _finished(replace(stored, orientation=UPRIGHT, space=None) if as_stored else stored)
    except ImageError as error:
        raise ImageError(f"{name}: {error}", error.reason) from None


def declared_size(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width that the image will have, upright, by its header alone.

    :class:`ImageError` if :func:`decode` does not take such a file.
    """
    try:
        kind, (height, width) = _header(data, max_pixels)
        return (width, height) if _orientation(data, kind) in SIDEWAYS else (height, width)
    except ImageError as error:
        raise ImageError(f"{name}: {error}", error.reason) from None


def decoding_bytes(data: bytes) -> int:
    """Bytes a pixel that :func:`decode` takes at most, beside the file. Measured: 3 to 14 of 8-bit samples, of WebP 20,
    of deeper ones up to 45.
    """
    kind = _kind(data)
    deep = jxl_header(data).bits > 8 if kind == "jxl" else kind == "png" and data[24] == 16
    return 45 if deep else 21 if kind == "webp" else 15


@dataclass(frozen=True)
class _Stored:
    """An image as its file has it: ``pixels`` H x W or H x W x channels of 0..``top``, and what the file says of it."""

    pixels: np.ndarray
    mode: str
    top: int = 255
    orientation: int = UPRIGHT
    space: ColourSpace | None = None


def _kind(data: bytes) -> str:
    head = data[:16]
    for kind, magic in (("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff"), ("bmp", b"BM"), ("qoi", b"qoif")):
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"\xff\x0a", _JXL_CONTAINER)):
        return "jxl"
    what = file_kind(data[:512])
    if not data:
        raise ImageError(what)
    raise ImageError(f"{what}, not a PNG, JPEG, WebP, BMP, QOI or JPEG XL file", "format")


def _header(data: bytes, max_pixels: int) -> tuple[str, tuple[int, int]]:
    """The format, and the height and width as the file is stored."""
    kind = _kind(data)
    try:
        height, width = image_size(data, kind)
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(f"broken {kind} header ({error})") from None
    if height * width > max_pixels:
        raise ImageError(f"{width} x {height} is over the cap of {max_pixels} pixels", "too large")
    return kind, (height, width)


def _orientation(data: bytes, kind: str) -> int:
    if kind == "jxl":
        return jxl_header(data).orientation
    if kind not in ("jpeg", "png", "webp"):
        return UPRIGHT
    try:
        return orientation_of(Image.open(io.BytesIO(data), formats=(kind.upper(),)), data)
    except Exception:  # decoding says what is wrong
        return UPRIGHT


def _stored(data: bytes, kind: str, size: tuple[int, int]) -> _Stored:
    """Decode ``data``, of whose header ``size`` is the height and width.

    Whatever a codec raises becomes an :class:`ImageError` in words of our own: a codec's may hold an address of memory.
    """
    try:
        if kind in ("qoi", "jxl"):
            stored = _qoi(data) if kind == "qoi" else _jxl(data)
        else:
            stored = {"png": _png, "jpeg": _jpeg, "webp": _webp, "bmp": _bmp}[kind](data, size)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("not enough memory to decode it") from None
    except Exception as error:
        cut = "cut short" if "truncated" in str(error) else "it cannot be decoded"
        raise ImageError(f"broken {kind} file ({cut})") from None
    if stored.pixels.shape[:2] != size:
        raise ImageError(f"the header says {size[1]} x {size[0]}, the decoder gives {stored.pixels.shape}")
    return stored


def _opened(data: bytes, kind: str, size: tuple[int, int]) -> Image.Image:
    """``data`` opened by Pillow, which reads its own size from the header: a later one could be over the cap."""
    picture = Image.open(io.BytesIO(data), formats=(kind,))
    if picture.size != size[::-1]:
        raise ImageError(f"the first header says {size[1]} x {size[0]}, a later one {picture.width} x {picture.height}")
    if kind != "JPEG" and getattr(picture, "is_animated", False):
        raise ImageError(f"an animation of {getattr(picture, 'n_frames', '?')} frames", "animated")
    return picture


def _jpeg(data: bytes, size: tuple[int, int]) -> _Stored:
    data = with_end_marker(data)
    check_jpeg(data)
    picture = _opened(data, "JPEG", size)
    return _Stored(_samples(picture), picture.mode, 255, orientation_of(picture, data), colour_of(picture))


def _png(data: bytes, size: tuple[int, int]) -> _Stored:
    check_png(data)
    picture = _opened(data, "PNG", size)
    space = png_colour(picture, data)
    if data[24] == 16:  # IHDR's bit depth: Pillow cuts 16-bit RGB to its high bytes
        pixels, top = np.asarray(imagecodecs.png_decode(data)), 65535
    else:
        pixels, top = _samples(picture), 255
    return _Stored(pixels, picture.mode, top, orientation_of(picture, data), space)  # EXIF may stand behind the pixels


def _webp(data: bytes, size: tuple[int, int]) -> _Stored:
    check_webp(data)
    picture = _opened(data, "WEBP", size)
    return _Stored(_samples(picture), picture.mode, 255, orientation_of(picture, data), colour_of(picture))


def _bmp(data: bytes, size: tuple[int, int]) -> _Stored:
    picture = _opened(data, "BMP", size)
    return _Stored(_samples(picture), picture.mode, space=bmp_profile(data))


def _qoi(data: bytes) -> _Stored:
    if not data.endswith(_QOI_END):  # the decoder fills up a cut file with its last pixel and says nothing
        raise ImageError("cut short (no end marker)")
    pixels = np.asarray(imagecodecs.qoi_decode(data))
    return _Stored(pixels, "RGBA" if pixels.shape[2] == 4 else "RGB")


def _jxl(data: bytes) -> _Stored:
    header = jxl_header(data)
    if header.animated:
        raise ImageError("an animation", "animated")
    if header.floating:
        raise ImageError("floating-point samples are not handled", "colour mode")
    if header.black:
        raise ImageError(_CMYK, "colour mode")
    if header.premultiplied:
        raise ImageError("colours that are multiplied by alpha are not handled", "colour mode")
    space = jxl_colour(header, data)
    pixels = np.asarray(imagecodecs.jpegxl_decode(data, keeporientation=True))
    return _Stored(pixels, "RGBA" if header.alpha else "RGB", 2**header.bits - 1, header.orientation, space)


def _samples(picture: Image.Image) -> np.ndarray:
    """``picture`` decoded: uint8 H x W (grey) or H x W x 2, 3 or 4 (with alpha: 2 and 4)."""
    mode = picture.mode
    if mode in ("CMYK", "YCCK"):
        raise ImageError(_CMYK, "colour mode")
    if mode not in _MODES:
        raise ImageError(f"colour mode {mode} is not handled", "colour mode")
    plain = "RGBA" if "transparency" in picture.info and mode in ("1", "L", "P", "RGB") else _MODES[mode]
    return np.array(picture if plain == mode else picture.convert(plain))  # a copy: Pillow's own is not writeable


def _finished(stored: _Stored) -> tuple[np.ndarray, Facts]:
    """In sRGB, rounded to 0..255, alpha laid over white, grey repeated, upright."""
    pixels = stored.pixels
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"samples of type {pixels.dtype} are not handled", "colour mode")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if not 1 <= channels <= 4:
        raise ImageError(f"{channels} channels are not handled", "colour mode")
    has_alpha, profile, transparent = channels in (2, 4), "", 0.0
    colours = pixels[..., :-1] if has_alpha else pixels
    if stored.space is None:
        colours = eight_bits(colours, stored.top)
    else:
        colours, profile = to_srgb(colours, stored.top, stored.space)
    if has_alpha:
        alpha = eight_bits(pixels[..., -1:], stored.top)
        if not alpha.any():
            raise ImageError("no visible pixel, the whole image is transparent", "transparent")
        transparent = float((alpha < 128).mean())
        colours = over_white(colours, alpha)
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    facts = Facts(stored.mode, transparent, stored.orientation, profile)
    return np.ascontiguousarray(upright(colours, stored.orientation)), facts
