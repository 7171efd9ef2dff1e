"""The image door: every format and mode, what is refused, and that nothing wrong comes through."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import images
from pipeline.images import CODECS, ImageError
from pipeline.images.jxl import jxl_header

H, W = 20, 31
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (H, W), dtype=np.uint8)
GREY = RGB[..., 1].copy()
DEEP = RNG.integers(0, 65536, (H, W, 4), dtype=np.uint16)


def pillow(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def over_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    a = alpha[..., None] / 255.0
    return np.floor(pixels * a + 255 * (1 - a) + 0.5).astype(np.uint8)


def to8(deep: np.ndarray, top: int = 65535) -> np.ndarray:
    return np.floor(deep.astype(np.float64) * 255 / top + 0.5).astype(np.uint8)


def png(header: bytes, rows: bytes, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    parts = chunk(b"IHDR", header), extra and chunk(b"tRNS", extra), chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def deep_png(pixels: np.ndarray, transparent: bytes = b"") -> bytes:
    """A 16-bit PNG of any colour type, which neither Pillow nor imagecodecs writes with a tRNS chunk."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return png(header, b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels), transparent)


def masked_bmp(pixels: np.ndarray, alpha: np.ndarray) -> bytes:
    """A BITMAPV4 file whose masks say that the fourth byte is alpha."""
    body = np.dstack([pixels[::-1, :, ::-1], alpha[::-1]]).tobytes()
    sizes = struct.pack("<IiiHHIIiiII", 108, pixels.shape[1], pixels.shape[0], 1, 32, 3, len(body), 0, 0, 0, 0)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    return b"BM" + struct.pack("<IHHI", 122 + len(body), 0, 0, 122) + sizes + masks + body


PALETTE = Image.fromarray(RGB).quantize(16)
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))
SEEN = PALETTE_RGB.copy()
SEEN[np.asarray(PALETTE) == 3] = 255
HALF = np.where(np.asarray(PALETTE) == 3, 0, np.where(np.asarray(PALETTE) == 0, 128, 255)).astype(np.uint8)
BILEVEL = GREY > 128

EXACT = {
    "png": (pillow(RGB, "PNG"), RGB),
    "png of libpng": (imagecodecs.png_encode(RGB), RGB),
    "png grey": (pillow(GREY, "PNG"), three(GREY)),
    "png 1 bit": (pillow(BILEVEL, "PNG"), three(BILEVEL * np.uint8(255))),
    "png 2 bits": (png(struct.pack(">IIBBBBB", 4, 1, 2, 0, 0, 0, 0), b"\0\x1b"), three(np.uint8([[0, 85, 170, 255]]))),
    "png palette": (pillow(PALETTE, "PNG"), PALETTE_RGB),
    "png palette, one clear colour": (pillow(PALETTE, "PNG", transparency=3), SEEN),
    "png palette with alphas": (
        pillow(PALETTE, "PNG", transparency=bytes([128, 255, 255, 0])),
        over_white(PALETTE_RGB, HALF),
    ),
    "png grey, one clear grey": (
        pillow(GREY, "PNG", transparency=int(GREY[0, 0])),
        three(np.where(GREY == GREY[0, 0], 255, GREY).astype(np.uint8)),
    ),
    "png rgb, one clear colour": (
        pillow(RGB, "PNG", transparency=tuple(map(int, RGB[3, 4]))),
        np.where((RGB == RGB[3, 4]).all(axis=2, keepdims=True), np.uint8(255), RGB),
    ),
    "png grey and alpha": (pillow(np.dstack([GREY, ALPHA]), "PNG"), over_white(three(GREY), ALPHA)),
    "png rgba": (pillow(np.dstack([RGB, ALPHA]), "PNG"), over_white(RGB, ALPHA)),
    "png 16 bit grey": (deep_png(DEEP[..., 0]), three(to8(DEEP[..., 0]))),
    "png 16 bit grey and alpha": (deep_png(DEEP[..., :2]), over_white(three(to8(DEEP[..., 0])), to8(DEEP[..., 1]))),
    "png 16 bit rgb": (deep_png(DEEP[..., :3]), to8(DEEP[..., :3])),
    "png 16 bit rgba": (deep_png(DEEP), over_white(to8(DEEP[..., :3]), to8(DEEP[..., 3]))),
    "png 16 bit rgb, one clear colour": (
        deep_png(DEEP[..., :3], DEEP[0, 0, :3].astype(">u2").tobytes()),
        np.where((DEEP == DEEP[0, 0]).all(axis=2, keepdims=True), np.uint8(255), to8(DEEP[..., :3])),
    ),
    "bmp": (pillow(RGB, "BMP"), RGB),
    "bmp grey": (pillow(GREY, "BMP"), three(GREY)),
    "bmp palette": (pillow(PALETTE, "BMP"), PALETTE_RGB),
    "bmp 1 bit": (pillow(BILEVEL, "BMP"), three(BILEVEL * np.uint8(255))),
    "bmp with a fourth byte": (pillow(np.dstack([RGB, ALPHA]), "BMP"), RGB),  # no masks: the byte means nothing
    "bmp with an alpha mask": (masked_bmp(RGB, ALPHA), over_white(RGB, ALPHA)),
    "bmp of os/2": (
        b"BM" + struct.pack("<IHHI", 38, 0, 0, 26) + struct.pack("<IHHHH", 12, 2, 2, 1, 24) + bytes(range(16)),
        np.uint8([[[10, 9, 8], [13, 12, 11]], [[2, 1, 0], [5, 4, 3]]]),
    ),
    "bmp from the top": (
        pillow(RGB, "BMP")[:22] + struct.pack("<i", -H) + pillow(RGB, "BMP")[26:],
        RGB[::-1],
    ),
    "webp": (pillow(RGB, "WEBP", lossless=True), RGB),
    "webp rgba": (
        pillow(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True),
        over_white(RGB, ALPHA),
    ),
    "qoi": (imagecodecs.qoi_encode(RGB), RGB),
    "qoi rgba": (imagecodecs.qoi_encode(np.dstack([RGB, ALPHA])), over_white(RGB, ALPHA)),
    "jxl": (imagecodecs.jpegxl_encode(RGB, lossless=True), RGB),
    "jxl in a container": (imagecodecs.jpegxl_encode(RGB, lossless=True, usecontainer=True), RGB),
    "jxl grey": (imagecodecs.jpegxl_encode(GREY, lossless=True), three(GREY)),
    "jxl grey and alpha": (
        imagecodecs.jpegxl_encode(np.dstack([GREY, ALPHA]), lossless=True),
        over_white(three(GREY), ALPHA),
    ),
    "jxl rgba": (imagecodecs.jpegxl_encode(np.dstack([RGB, ALPHA]), lossless=True), over_white(RGB, ALPHA)),
}
LOSSY = {
    "jpeg": pillow(RGB, "JPEG", quality=95),
    "jpeg progressive": pillow(RGB, "JPEG", progressive=True),
    "jpeg half chroma": pillow(RGB, "JPEG", subsampling=2),
    "jpeg grey": pillow(GREY, "JPEG"),
    "jpeg with a preview behind it": pillow(RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB[:8, :8])]),
    "webp": pillow(RGB, "WEBP", quality=80),
    "webp with alpha": pillow(np.dstack([RGB, ALPHA]), "WEBP", quality=80),
    "jxl": imagecodecs.jpegxl_encode(RGB, distance=1.0),
    "jxl made of a jpeg": imagecodecs.jpegxl_encode_jpeg(pillow(RGB, "JPEG")),
}


@pytest.mark.parametrize("name", EXACT)
def test_pixels_are_exact(name: str) -> None:
    data, expected = EXACT[name]
    got = images.decode(data)
    images.check(got)
    assert got.flags.c_contiguous and got.flags.writeable
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_have_their_shape_and_their_light(name: str) -> None:
    got = images.decode(LOSSY[name])
    images.check(got)
    assert got.shape == (H, W, 3)
    if "alpha" not in name:
        assert abs(got.mean() - RGB.mean()) < 12


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_linear_light_becomes_srgb(bits: int) -> None:
    """imagecodecs' encoder says of more than 8 bits that they are linear."""
    deep = DEEP[..., :3] >> (16 - bits)
    light = deep / (2**bits - 1)
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    got = images.decode(imagecodecs.jpegxl_encode(np.ascontiguousarray(deep), lossless=True, bitspersample=bits))
    assert np.abs(got - expected).max() < 0.51


def test_grey_has_equal_channels() -> None:
    got = images.decode(LOSSY["jpeg grey"])
    assert (got == got[..., :1]).all()


def test_16_bits_are_rounded_and_not_cut() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(images.decode(deep_png(ramp))[..., 0], np.rint(ramp / 257).astype(np.uint8))


REFUSED = {
    "cmyk": (pillow(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "CMYK"),
    "animated png": (pillow(RGB, "PNG", save_all=True, append_images=[Image.fromarray(GREY)]), "an animation"),
    "animated webp": (pillow(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)]), "an animation"),
    "animated jxl": (imagecodecs.jpegxl_encode(np.stack([RGB, RGB[::-1]]), lossless=True), "an animation"),
    "jxl of floats": (imagecodecs.jpegxl_encode(RGB.astype(np.float32) / 255, lossless=True), "floating-point"),
    "gif": (pillow(RGB, "GIF"), "not a PNG, JPEG, WebP, BMP, QOI or JPEG XL file"),
    "tiff": (pillow(RGB, "TIFF"), "not a PNG"),
    "pickle": (b"\x80\x04N.", "not a PNG"),
    "empty": (b"", "an empty file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_plain_meaning_is_refused_by_name(name: str) -> None:
    data, why = REFUSED[name]
    with pytest.raises(ImageError, match=f"^holiday.jpg: .*{why}"):
        images.decode(data, name="holiday.jpg")


def every_file() -> dict[str, bytes]:
    return {name: data for name, (data, _) in EXACT.items()} | {f"lossy {name}": data for name, data in LOSSY.items()}


@pytest.mark.parametrize("name", every_file())
def test_a_cut_file_is_refused_or_has_all_its_pixels(name: str) -> None:
    data = every_file()[name]
    whole = images.decode(data)
    cuts = {*range(0, 64), *range(64, len(data), 13), *range(max(0, len(data) - 40), len(data))}
    refused = 0
    for cut in sorted(cut for cut in cuts if cut < len(data)):
        try:
            np.testing.assert_array_equal(images.decode(data[:cut]), whole)
        except ImageError:
            refused += 1
    assert refused >= 0.5 * len(cuts)  # what stands behind the pixels may be missing


@pytest.mark.parametrize("name", ["qoi", "qoi rgba"])
def test_a_qoi_file_cut_anywhere_is_refused(name: str) -> None:
    data = EXACT[name][0]
    assert imagecodecs.qoi_decode(data[: len(data) // 2]).shape[:2] == (H, W)  # why: the codec itself fills it up
    for cut in range(len(data)):
        with pytest.raises(ImageError):
            images.decode(data[:cut])


@settings(max_examples=300)
@given(st.sampled_from(sorted(every_file())), st.integers(0, 2**20), st.integers(1, 255), st.integers(0, 2**20))
def test_a_damaged_file_is_an_image_or_an_image_error(name: str, place: int, flip: int, cut: int) -> None:
    data = bytearray(every_file()[name])
    data[place % min(len(data), 200 if place % 2 else len(data))] ^= flip  # headers twice as often
    if cut % 4 == 0:
        del data[cut % len(data) :]
    try:
        got = images.decode(bytes(data), max_pixels=2**16)
    except ImageError:
        return
    images.check(got)
    assert got.shape[0] * got.shape[1] <= 2**16


def bombs() -> dict[str, bytes]:
    side = 50_000
    two = struct.pack(">II", side, side)
    bmp, jpeg, moving = bytearray(pillow(RGB, "BMP")), bytearray(LOSSY["jpeg"]), bytearray(REFUSED["animated webp"][0])
    bmp[18:26] = struct.pack("<ii", side, side)
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    still = b"VP8X" + struct.pack("<I", 10) + bytes(4) + 2 * (side - 1).to_bytes(3, "little") + EXACT["webp"][0][12:]
    moving[24:30] = 2 * (side - 1).to_bytes(3, "little")
    size = 2 << 1 | (side - 1) << 3 | 2 << 24 | (side - 1) << 26  # 18-bit height, no ratio, 18-bit width
    stream = b"\xff\x0a" + size.to_bytes(8, "little") + EXACT["jxl"][0][6:]
    box = struct.pack(">I", len(stream) + 8) + b"jxlc" + stream
    return {
        "png": png(two + bytes([8, 2, 0, 0, 0]), bytes(100)),
        "png 16 bit": png(two + bytes([16, 2, 0, 0, 0]), bytes(100)),
        "jpeg": bytes(jpeg),
        "webp": b"RIFF" + struct.pack("<I", 4 + len(still)) + b"WEBP" + still,
        "webp moving": bytes(moving),
        "bmp": bytes(bmp),
        "qoi": b"qoif" + two + EXACT["qoi"][0][12:],
        "jxl": stream,
        "jxl in a container": EXACT["jxl in a container"][0][:32] + box,
    }


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_refused_from_its_header(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a decoder saw the file")

    monkeypatch.setattr("pipeline.images.decoding._stored", never)
    with pytest.raises(ImageError, match="^bomb: 50000 x 50000 is over the cap of 67108864 pixels$"):
        images.decode(bombs()[name], name="bomb")


def test_the_largest_webp_is_refused_from_its_header() -> None:
    for data in (EXACT["webp"][0], LOSSY["webp"]):  # VP8L and VP8 have 14 bits for a side
        big = bytearray(data)
        at = 21 if data[12:16] == b"VP8L" else 26
        big[at : at + 4] = b"\xff\x3f\xff\x3f" if at == 26 else (0x0FFFFFFF).to_bytes(4, "little")
        with pytest.raises(ImageError, match="1638[34] x 1638[34] is over the cap"):
            images.decode(bytes(big))


def test_refusing_a_bomb_takes_no_memory() -> None:
    tracemalloc.start()
    for data in bombs().values():
        with pytest.raises(ImageError):
            images.decode(data)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("name", every_file())
def test_the_cap_counts_pixels_and_is_inclusive(name: str) -> None:
    data = every_file()[name]
    count = images.decode(data)[..., 0].size
    assert images.decode(data, max_pixels=count).shape[2] == 3
    with pytest.raises(ImageError, match=f"over the cap of {count - 1} pixels"):
        images.decode(data, max_pixels=count - 1)


SIDES = [1, 7, 8, 9, 16, 31, 64, 200, 256, 257, 512, 513, 600]


@pytest.mark.parametrize("container", [False, True])
def test_jxl_header_sizes_are_the_decoders(container: bool) -> None:
    for height in SIDES:
        for width in {1, 8, 9, 250, 513, height, height * 12 // 10, height * 4 // 3, height * 16 // 9, height * 2}:
            data = imagecodecs.jpegxl_encode(np.zeros((height, width), np.uint8), effort=1, usecontainer=container)
            header = jxl_header(data)
            assert (header.height, header.width) == imagecodecs.jpegxl_decode(data).shape == (height, width)


def test_jxl_header_of_a_long_strip() -> None:
    data = imagecodecs.jpegxl_encode(np.zeros((1, 70_000), np.uint8), effort=1)
    assert (jxl_header(data).height, jxl_header(data).width) == (1, 70_000)


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\xff\x0a\x00", EXACT["jxl in a container"][0][:40], b"\0\0\0\x0cJXL "])
def test_a_cut_jxl_header_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="cut short|no codestream"):
        jxl_header(data)


Pixels = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32), st.sampled_from([1, 2, 8, 256]))


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=40)
@given(Pixels)
def test_the_round_trip_is_lossless_and_repeatable(codec: str, drawn: tuple[int, int, int, int]) -> None:
    height, width, seed, colours = drawn
    image = (np.random.default_rng(seed).integers(0, colours, (height, width, 3)) * (255 // colours)).astype(np.uint8)
    data = images.encode(image, codec)
    assert isinstance(data, bytes) and data == images.encode(image.copy(), codec)
    np.testing.assert_array_equal(images.decode(data), image)


@pytest.mark.parametrize("codec", CODECS)
def test_strided_images_are_encoded_as_they_look(codec: str) -> None:
    for image in (RGB[::-1], RGB[:, ::2], RGB[..., ::-1], RGB.transpose(1, 0, 2)):
        np.testing.assert_array_equal(images.decode(images.encode(image, codec)), image)


@pytest.mark.parametrize("codec", CODECS)
def test_plain_and_large_images_survive(codec: str) -> None:
    for image in (np.zeros((300, 700, 3), np.uint8), np.full((1, 4000, 3), 255, np.uint8)):
        np.testing.assert_array_equal(images.decode(images.encode(image, codec)), image)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (RGB.astype(np.float32), "expected dtype uint8, got float32"),
        (GREY, "expected shape H x W x 3 \\(RGB\\), got 20 x 31"),
        (np.dstack([RGB, ALPHA]), "got 20 x 31 x 4"),
        (RGB[:0], "got 0 x 31 x 3"),
        (np.uint8(3), "expected a numpy array"),
        (RGB.tolist(), "expected a numpy array, got list"),
    ],
)
def test_only_rgb_bytes_are_encoded(image: object, why: str) -> None:
    with pytest.raises(ImageError, match=why):
        images.encode(image)  # type: ignore[arg-type]


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ValueError, match="'jpeg' is not one of qoi, png, webp, jxl"):
        images.encode(RGB, "jpeg")


def test_read_names_the_file(tmp_path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(EXACT["png"][0])
    np.testing.assert_array_equal(images.read(path), RGB)
    path.write_bytes(EXACT["png"][0][:80])
    with pytest.raises(ImageError, match="picture.png: cut short"):
        images.read(path)
    with pytest.raises(OSError, match="absent.png"):
        images.read(tmp_path / "absent.png")


def test_near_duplicates_have_near_hashes_and_others_not() -> None:
    scene = cv2.resize(RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8), (300, 200), interpolation=cv2.INTER_CUBIC)
    hash_of = images.perceptual_hash
    same = images.decode(pillow(scene, "JPEG", quality=60))
    assert 0 <= hash_of(scene) < 2**64
    assert (hash_of(scene) ^ hash_of(same)).bit_count() <= 6
    assert (hash_of(scene) ^ hash_of(scene[::2, ::2])).bit_count() <= 6
    assert (hash_of(scene) ^ hash_of(scene[:, ::-1])).bit_count() >= 16
