"""Files that are damaged inside: refused where the format or its decoder can see it."""

from __future__ import annotations

import io
import struct

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from pipeline import images
from pipeline.images import ImageError

SCENE = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (200, 312, 3), dtype=np.uint8), (0, 0), 2)


def jpeg(**options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(SCENE).save(sink, "JPEG", quality=90, **options)
    return sink.getvalue()


JPEGS = {
    "baseline": jpeg(),
    "progressive": jpeg(progressive=True),
    "with restarts": jpeg(restart_marker_rows=1),
    "grey": imagecodecs.jpeg8_encode(SCENE[..., 0].copy()),
}


def zero_sector(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(2048) + data[middle + 2048 :]


DAMAGE = {
    "a zeroed sector": zero_sector,
    "bytes missing": lambda data: data[: len(data) // 2] + data[len(data) // 2 + 3000 :],
    "cut": lambda data: data[: len(data) // 2],
    "cut, and an end marker put behind": lambda data: data[: len(data) // 2] + b"\xff\xd9",
    "zeros for the end": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_damaged_inside_is_refused(kind: str, damage: str) -> None:
    with pytest.raises(ImageError, match="^a.jpg: damaged: part of its data is missing or wrong$") as error:
        images.decode(DAMAGE[damage](JPEGS[kind]), name="a.jpg")
    assert error.value.reason == "broken"


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_only_its_end_marker_has_all_its_pixels(kind: str) -> None:
    data = JPEGS[kind]
    assert data.endswith(b"\xff\xd9")
    for end in (b"", b"\xff", b"\xff\xd9\0\0padding behind it"):
        np.testing.assert_array_equal(images.decode(data[:-2] + end), images.decode(data))


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_progressive_jpeg_cut_between_two_scans_is_refused(end: bytes) -> None:
    data = JPEGS["progressive"]
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xc4"]  # a table stands before each scan
    for start in starts[2:]:
        with pytest.raises(ImageError, match="damaged"):
            images.decode(data[:start] + end)


def test_scans_of_one_component_each_are_all_asked_for() -> None:
    """A baseline JPEG may send its components one after the other; a cut one is a grey picture without a warning."""
    data = imagecodecs.jpeg8_encode(SCENE, subsampling="444")
    frame = data.index(b"\xff\xc0")
    assert data[frame + 9] == 3
    lacking = bytearray(data)
    scan = data.index(b"\xff\xda")
    length = int.from_bytes(data[scan + 2 : scan + 4], "big")
    lacking[scan : scan + 2 + length] = (
        b"\xff\xda" + struct.pack(">HB", 8, 1) + data[scan + 5 : scan + 7] + bytes([0, 63, 0])
    )
    with pytest.raises(ImageError, match="damaged"):
        images.decode(bytes(lacking))


@pytest.mark.parametrize("chunk", [b"IHDR", b"PLTE", b"tRNS", b"IDAT"])
def test_a_png_with_a_wrong_checksum_is_refused(chunk: bytes) -> None:
    sink = io.BytesIO()
    Image.fromarray(SCENE).quantize(16).save(sink, "PNG", transparency=3)
    data = bytearray(sink.getvalue())
    images.decode(bytes(data))
    at = data.index(chunk)
    data[at + 4 + int.from_bytes(data[at - 4 : at], "big")] ^= 1  # the first byte of the checksum
    with pytest.raises(ImageError, match=f"^a.png: damaged: the checksum of its {chunk.decode()} chunk is wrong$"):
        images.decode(bytes(data), name="a.png")


def test_a_webp_shorter_than_it_says_is_refused() -> None:
    sink = io.BytesIO()
    Image.fromarray(SCENE).save(sink, "WEBP", quality=80)
    data = sink.getvalue()
    for cut in (2, 100, len(data) // 2):
        with pytest.raises(ImageError, match="^a.webp: cut short$"):
            images.decode(data[:-cut], name="a.webp")


def test_a_bmp_without_all_its_rows_is_refused() -> None:
    sink = io.BytesIO()
    Image.fromarray(SCENE).save(sink, "BMP")
    with pytest.raises(ImageError, match="^a.bmp: broken bmp file .cut short.$"):
        images.decode(sink.getvalue()[:-1000], name="a.bmp")


@pytest.mark.parametrize("lossless", [False, True])
def test_a_jpeg_xl_cut_inside_is_refused(lossless: bool) -> None:
    data = imagecodecs.jpegxl_encode(SCENE, lossless=lossless, distance=None if lossless else 1.0)
    for damaged in (data[: len(data) // 2], data[:-20], zero_sector(data)):
        with pytest.raises(ImageError, match="^a.jxl: broken jxl file .it cannot be decoded.$"):
            images.decode(damaged, name="a.jxl")
