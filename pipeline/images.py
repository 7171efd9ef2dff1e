"""The only door for pixels: a capped decoder and a lossless encoder.

An image is ``uint8``, H x W x 3, RGB everywhere between parts. Whatever comes from a file passes :func:`decode`, which reads
the size from the header and refuses what is over the cap before a pixel is decoded, and what it can't turn into RGB without guessing.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.jxl_header import jxl_size

MAX_PIXELS = 2**26  # 8192 x 8192: 192 MiB as RGB
CODECS = ("qoi", "png", "webp", "jxl")
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_JXL_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"


class ImageError(ValueError):
    """An image that is refused; the message names it and says why."""


def check(image: np.ndarray, name: str = "image") -> None:
    """Raise :class:`ImageError` unless ``image`` is a non-empty uint8 array of shape H x W x 3."""
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{name}: expected a numpy array, got {type(image).__name__}")
    if image.dtype != np.uint8:
        raise ImageError(f"{name}: expected dtype uint8, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"{name}: expected shape H x W x 3 (RGB), got {' x '.join(map(str, image.shape)) or 'a scalar'}")


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The image in a file, uint8 H x W x 3 RGB. Raises :class:`ImageError` (refused) or ``OSError`` (unreadable file)."""
    return decode(Path(path).read_bytes(), name=str(path), max_pixels=max_pixels)


def decode(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode PNG, JPEG, WebP, BMP, QOI or JPEG XL into uint8 H x W x 3 RGB.

    Grey becomes three equal channels, a palette is expanded, 16 bits are rounded to 8 (257 steps to one), alpha is laid over
    white. CMYK (no meaning without its profile), animations, other formats, truncated files and images of more than
    ``max_pixels`` pixels raise :class:`ImageError` with ``name`` in its message. EXIF orientation is not applied.
    """
    kind = _kind(data, name)
    height, width = _size(data, kind, name)
    if height * width > max_pixels:
        raise ImageError(f"{name}: {width} x {height} is over the cap of {max_pixels} pixels")
    try:
        pixels = _pixels(data, kind)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except Exception as error:  # whatever a codec raises, the reader of the message needs the file's name
        raise ImageError(f"{name}: broken {kind} file ({str(error).strip() or type(error).__name__})") from error
    if pixels.shape[:2] != (height, width):
        raise ImageError(f"{name}: the header says {width} x {height}, the pixels are {pixels.shape[1]} x {pixels.shape[0]}")
    return _to_rgb8(pixels, name)


def encode(image: np.ndarray, codec: str = "qoi") -> bytes:
    """``image`` (uint8 H x W x 3) as a lossless file: ``qoi``, ``png``, ``webp`` or ``jxl`` (other names: ``ValueError``)."""
    check(image)
    pixels = np.ascontiguousarray(image)
    if codec == "qoi":
        return bytes(imagecodecs.qoi_encode(pixels))
    if codec == "png":
        return bytes(imagecodecs.png_encode(pixels, level=1))
    if codec == "webp":
        return bytes(imagecodecs.webp_encode(pixels, level=0, lossless=True))
    if codec == "jxl":
        return bytes(imagecodecs.jpegxl_encode(pixels, effort=1, lossless=True))
    raise ValueError(f"codec: {codec!r} is not one of {', '.join(CODECS)}")


def perceptual_hash(image: np.ndarray) -> int:
    """A 64-bit DCT hash of the luma: near duplicates differ in few bits. The 8 x 8 lowest frequencies of a 32 x 32 thumbnail
    against their median.
    """
    check(image)
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    low = cv2.dct(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA))[:8, :8].ravel()
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _kind(data: bytes, name: str) -> str:
    head = data[:16]
    for kind, magic in (("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff"), ("bmp", b"BM"), ("qoi", b"qoif")):
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"\xff\x0a", _JXL_CONTAINER)):
        return "jxl"
    raise ImageError(f"{name}: not a PNG, JPEG, WebP, BMP, QOI or JPEG XL file" + (" (it is empty)" if not data else ""))


def _size(data: bytes, kind: str, name: str) -> tuple[int, int]:
    """Height and width as the header has them; no pixel is decoded."""
    try:
        if kind == "qoi":
            if len(data) < 14:
                raise ValueError("header cut short")
            return int.from_bytes(data[8:12], "big"), int.from_bytes(data[4:8], "big")
        if kind == "jxl":
            return jxl_size(data)
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as picture:
            width, height = picture.size
            return height, width
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: {error}") from None
    except (UnidentifiedImageError, ValueError, OSError, SyntaxError, IndexError) as error:
        raise ImageError(f"{name}: broken {kind} header ({error})") from error


def _pixels(data: bytes, kind: str) -> np.ndarray:
    if kind == "qoi":
        return np.asarray(imagecodecs.qoi_decode(data))
    if kind == "jxl":
        return np.asarray(imagecodecs.jpegxl_decode(data))
    with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as picture:
        if getattr(picture, "is_animated", False):
            raise ImageError(f"an animation of {getattr(picture, 'n_frames', '?')} frames")
        mode = picture.mode
        if mode in ("CMYK", "YCCK"):
            raise ImageError("CMYK, which has no meaning without its profile: convert it to RGB first")
        if kind == "png" and data[24:25] == b"\x10":  # IHDR's bit depth: Pillow would cut 16-bit RGB to its high bytes
            return np.asarray(imagecodecs.png_decode(data))
        if mode == "P":
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        elif mode in ("1", "L", "RGB") and "transparency" in picture.info:
            picture = picture.convert("RGBA")
        elif mode in ("1", "LA", "La", "PA", "RGBa"):
            picture = picture.convert("L" if mode == "1" else "RGBA")
        elif mode not in ("L", "RGB", "RGBA"):
            raise ImageError(f"colour mode {mode} is not handled")
        return np.asarray(picture)


def _to_rgb8(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(f"{name}: samples of type {pixels.dtype} are not handled")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if channels in (2, 4):
        alpha = pixels[..., -1:].astype(np.uint16)
        blended = pixels[..., :-1].astype(np.uint16) * alpha + 255 * (255 - alpha)
        pixels, channels = ((blended + 127) // 255).astype(np.uint8), channels - 1
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif channels != 3:
        raise ImageError(f"{name}: {channels} channels are not handled")
    return np.ascontiguousarray(pixels)
