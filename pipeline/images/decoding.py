"""The only way from a file to pixels: capped, checked, in plain RGB.

:func:`decode` reads the size from the header and refuses what is over the cap before a codec sees the file, and what
it cannot turn into RGB without guessing.
"""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.images.arrays import ImageError
from pipeline.images.headers import image_size
from pipeline.images.jxl import jxl_header

MAX_PIXELS = 2**26  # 8192 x 8192: 192 MiB as RGB
_MOST_BYTES = 8  # of a file for each pixel of the cap: 16 bits of four channels, not compressed
_MOST_METADATA = 2**20
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_CMYK = "CMYK, which has no meaning without its profile: convert it to RGB first"
_QOI_END = b"\x00" * 7 + b"\x01"
_JXL_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"


@dataclass(frozen=True)
class Facts:
    """What a file is beside its pixels.

    ``orientation``: EXIF's 1..8, how it was stored (1: upright). ``colour_profile``: the colour space that it was
    converted from, empty for sRGB and where the file says nothing.
    """

    orientation: int = 1
    colour_profile: str = ""


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


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The image in a file, uint8 H x W x 3 RGB. :class:`ImageError` if refused, ``OSError`` if it cannot be read."""
    return decode(read_bytes(path, max_pixels=max_pixels), name=str(path), max_pixels=max_pixels)


def decode_with_facts(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Facts]:
    """:func:`decode`, and what was undone to make the image upright sRGB."""
    return decode(data, name=name, max_pixels=max_pixels), Facts()


def decode(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode PNG, JPEG, WebP, BMP, QOI or JPEG XL into uint8 H x W x 3 RGB.

    Grey becomes three equal channels, a palette is expanded, more than 8 bits are rounded to 8 (of 16: 257 steps to
    one), alpha is laid over white. Of a JPEG with further pictures behind it (MPF: previews, gain maps) the first is
    taken. CMYK (no meaning without its profile), floats, animations, other formats, files cut short of their pixels and
    images of more than ``max_pixels`` pixels raise :class:`ImageError` with ``name`` in its message (Pillow, which
    decodes PNG, JPEG, WebP and BMP, has a cap of its own at 179 million). No orientation (EXIF, JPEG XL) is applied.
    """
    kind, height, width = _header(data, name, max_pixels)
    try:
        pixels, top = _pixels(data, kind, (width, height))
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except Exception as error:  # whatever a codec raises, the reader of the message needs the file's name
        raise ImageError(f"{name}: broken {kind} file ({_codec_message(error)})") from error
    if pixels.shape[:2] != (height, width):
        raise ImageError(f"{name}: the header says {width} x {height}, the decoder gives {pixels.shape}")
    return _to_rgb8(pixels, top, name)


def declared_size(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width in an image file's header; :class:`ImageError` if :func:`decode` does not take such a file."""
    _, height, width = _header(data, name, max_pixels)
    return height, width


def jxl_transparent_share(data: bytes) -> float:
    """Share of a JPEG XL's pixels, of one that :func:`decode` takes, whose alpha is below one half."""
    pixels, top = _jxl_pixels(data)
    if pixels.ndim == 2 or pixels.shape[2] % 2:
        return 0.0
    return float((pixels[..., -1] <= top // 2).mean())


def _header(data: bytes, name: str, max_pixels: int) -> tuple[str, int, int]:
    """The format, the height and the width that a file declares."""
    kind = _kind(data, name)
    try:
        height, width = image_size(data, kind)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except ValueError as error:
        raise ImageError(f"{name}: broken {kind} header ({error})") from None
    if height * width > max_pixels:
        raise ImageError(f"{name}: {width} x {height} is over the cap of {max_pixels} pixels")
    return kind, height, width


def _codec_message(error: Exception) -> str:
    """What a codec says, in one line: Pillow puts the address of its file object into it."""
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged"
    return " ".join(str(error).split()) or type(error).__name__


def _kind(data: bytes, name: str) -> str:
    head = data[:16]
    for kind, magic in (("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff"), ("bmp", b"BM"), ("qoi", b"qoif")):
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"\xff\x0a", _JXL_CONTAINER)):
        return "jxl"
    what = "an empty file" if not data else "not a PNG, JPEG, WebP, BMP, QOI or JPEG XL file"
    raise ImageError(f"{name}: {what}")


def _pixels(data: bytes, kind: str, size: tuple[int, int]) -> tuple[np.ndarray, int]:
    """H x W or H x W x channels, and the largest value that a sample can have."""
    if kind == "qoi":
        if not data.endswith(_QOI_END):  # the decoder fills up a cut file with its last pixel and says nothing
            raise ImageError("cut short (no end marker)")
        return np.asarray(imagecodecs.qoi_decode(data)), 255
    if kind == "jxl":
        return _jxl_pixels(data)
    if kind == "png" and data[24] == 16:  # IHDR's bit depth: Pillow would cut 16-bit RGB to its high bytes
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as picture:
            _one_frame(picture)
            picture.verify()  # sums of chunks: imagecodecs loses a reference to None with each PNG that it refuses
        return np.asarray(imagecodecs.png_decode(data)), 65535
    with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as picture:
        if picture.size != size:
            raise ImageError(f"the first header says {size}, a later one {picture.size}")
        if kind != "jpeg":
            _one_frame(picture)
        return np.array(_plain_mode(picture)), 255  # a copy: Pillow's own array cannot be written to


def _jxl_pixels(data: bytes) -> tuple[np.ndarray, int]:
    header = jxl_header(data)
    if header.animated:
        raise ImageError("an animation")
    if header.floating:
        raise ImageError("floating-point samples are not handled")
    if header.black:
        raise ImageError(_CMYK)
    if header.premultiplied:
        raise ImageError("colours that are multiplied by alpha are not handled")
    return np.asarray(imagecodecs.jpegxl_decode(data, keeporientation=True)), 2**header.bits - 1


def _one_frame(picture: Image.Image) -> None:
    if getattr(picture, "is_animated", False):
        raise ImageError(f"an animation of {getattr(picture, 'n_frames', '?')} frames")


def _plain_mode(picture: Image.Image) -> Image.Image:
    """``picture`` in mode L, RGB or RGBA."""
    mode = picture.mode
    if mode in ("CMYK", "YCCK"):
        raise ImageError(_CMYK)
    if mode in ("1", "L", "P", "RGB") and "transparency" in picture.info:
        return picture.convert("RGBA")
    if mode in ("1", "P"):
        return picture.convert("L" if mode == "1" else "RGB")
    if mode in ("LA", "La", "PA", "RGBa"):
        return picture.convert("RGBA")
    if mode not in ("L", "RGB", "RGBA"):
        raise ImageError(f"colour mode {mode} is not handled")
    return picture


def _to_rgb8(pixels: np.ndarray, top: int, name: str) -> np.ndarray:
    """Samples of 0..``top`` rounded to 0..255, alpha laid over white, grey repeated."""
    if top != 255 and pixels.dtype in (np.uint8, np.uint16):
        pixels = ((pixels.astype(np.uint32) * 510 + top) // (2 * top)).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f"{name}: samples of type {pixels.dtype} are not handled")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if channels in (2, 4):
        alpha = pixels[..., -1:].astype(np.uint16)
        if not alpha.any():
            raise ImageError(f"{name}: no visible pixel, the whole image is transparent")
        blended = pixels[..., :-1].astype(np.uint16) * alpha + 255 * (255 - alpha)
        pixels, channels = ((blended + 127) // 255).astype(np.uint8), channels - 1
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif channels != 3:
        raise ImageError(f"{name}: {channels} channels are not handled")
    return np.ascontiguousarray(pixels)
