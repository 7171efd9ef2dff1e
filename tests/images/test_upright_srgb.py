"""What comes through the door is upright and sRGB, wherever a format keeps its orientation and its colours."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from pipeline import images
from pipeline.images import UNREADABLE, Facts, ImageError, conversions, decode_with_facts

RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
SMOOTH = np.ascontiguousarray(np.stack(np.meshgrid(np.arange(64) * 4, np.arange(48) * 5), -1)[..., [0, 1, 0]], np.uint8)
D65, P3 = [0.3127, 0.3290, 1.0], [0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0]
ADOBE = bytes(imagecodecs.cms_profile("adobergb"))
GREY_18 = bytes(imagecodecs.cms_profile("gray", whitepoint=D65, gamma=1.8))


def saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, kind, **options)
    return sink.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, kind: bytes, data: bytes, *, last: bool = False) -> bytes:
    at = png.index(b"IEND") - 4 if last else 33
    return png[:at] + chunk(kind, data) + png[at:]


def expected_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(
        ImageCms.profileToProfile(Image.fromarray(pixels), source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    )


STORED = {
    "jpeg": lambda k: saved(RGB, "JPEG", quality=100, exif=turned(k)),
    "png": lambda k: saved(RGB, "PNG", exif=turned(k)),
    "png, EXIF behind the pixels": lambda k: with_chunk(saved(RGB, "PNG"), b"eXIf", turned(k).tobytes()[6:], last=True),
    "png of 16 bits": lambda k: with_chunk(
        imagecodecs.png_encode(RGB.astype(np.uint16) * 257), b"eXIf", turned(k).tobytes()[6:]
    ),
    "webp": lambda k: saved(RGB, "WEBP", lossless=True, exif=turned(k)),
    "jxl made of a jpeg": lambda k: imagecodecs.jpegxl_encode_jpeg(saved(RGB, "JPEG", quality=100, exif=turned(k))),
    "jpeg with XMP alone": lambda k: saved(
        RGB, "JPEG", quality=100, xmp=f'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="{k}"/>'.encode()
    ),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", STORED)
def test_every_orientation_of_every_format_is_undone(name: str, orientation: int) -> None:
    data = STORED[name](orientation)
    image, facts = decode_with_facts(data)
    upright = ImageOps.exif_transpose(
        Image.open(io.BytesIO(saved(images.decode(STORED[name](1)), "PNG", exif=turned(orientation))))
    )
    np.testing.assert_array_equal(image, np.asarray(upright))
    assert facts.orientation == orientation and image.flags.c_contiguous and image.flags.writeable
    assert images.declared_size(data) == image.shape[:2]


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\xff", b"Exif\0\0" + b"\xff" * 40, turned(9).tobytes()]
)
def test_broken_exif_says_nothing(exif: bytes) -> None:
    data = saved(RGB, "JPEG", quality=100, exif=exif)
    np.testing.assert_array_equal(images.decode(data), images.decode(saved(RGB, "JPEG", quality=100)))


PROFILES = {
    "jpeg": lambda profile: saved(SMOOTH, "JPEG", quality=100, subsampling=0, icc_profile=profile),
    "png": lambda profile: saved(SMOOTH, "PNG", icc_profile=profile),
    "webp": lambda profile: saved(SMOOTH, "WEBP", lossless=True, icc_profile=profile),
    "bmp": lambda profile: bmp_with_profile(SMOOTH, profile),
}


def bmp_with_profile(pixels: np.ndarray, profile: bytes) -> bytes:
    """A BITMAPV5 file with the profile behind its pixels."""
    body = np.ascontiguousarray(pixels[::-1, :, ::-1]).tobytes()
    assert pixels.shape[1] * 3 % 4 == 0
    head = struct.pack("<IiiHHIIiiII", 124, pixels.shape[1], pixels.shape[0], 1, 24, 0, len(body), 0, 0, 0, 0)
    head += bytes(16) + b"DEBM" + bytes(36 + 12) + struct.pack("<IIII", 4, 124 + len(body), len(profile), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(body) + len(profile), 0, 0, 138) + head + body + profile


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_of_every_format_are_converted(name: str) -> None:
    data = PROFILES[name](ADOBE)
    image, facts = decode_with_facts(data)
    plain = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(image, expected_srgb(plain, ADOBE))
    assert facts.colour_profile.startswith("Adobe RGB") and np.abs(image.astype(int) - plain).mean() > 3


@pytest.mark.parametrize("name", PROFILES)
def test_srgb_in_whatever_words_changes_nothing(name: str) -> None:
    own = bytes(imagecodecs.cms_profile("srgb"))
    for profile in (own, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        data = PROFILES[name](profile)
        image, facts = decode_with_facts(data)
        np.testing.assert_array_equal(image, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        assert facts == Facts()


def test_alpha_is_laid_over_white_after_the_conversion() -> None:
    alpha = np.full(SMOOTH.shape[:2], 255, np.uint8)
    alpha[:10] = 0
    image, _ = decode_with_facts(saved(np.dstack([SMOOTH, alpha]), "PNG", icc_profile=ADOBE))
    assert (image[:10] == 255).all()
    np.testing.assert_array_equal(image[10:], expected_srgb(SMOOTH, ADOBE)[10:])


def test_grey_with_a_profile_of_grey_or_of_colours() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image, facts = decode_with_facts(saved(grey, "PNG", icc_profile=GREY_18))
    np.testing.assert_array_equal(image, expected_srgb(grey, GREY_18))
    assert (
        facts.colour_profile and (image == image[..., :1]).all() and np.abs(image[..., 0].astype(int) - grey).max() > 5
    )
    image, _ = decode_with_facts(saved(grey, "PNG", icc_profile=ADOBE))
    np.testing.assert_array_equal(image, expected_srgb(np.repeat(grey[..., None], 3, 2), ADOBE))
    image, facts = decode_with_facts(saved(SMOOTH, "PNG", icc_profile=GREY_18))  # of another kind: says nothing
    assert (image == SMOOTH).all() and facts == Facts()


def test_a_profile_that_cannot_be_read_is_told_and_passed_over() -> None:
    for profile in (b"no profile" * 20, ADOBE[:200], bytes(500)):
        image, facts = decode_with_facts(saved(SMOOTH, "PNG", icc_profile=profile))
        assert (image == SMOOTH).all() and facts.colour_profile == UNREADABLE


def test_16_bits_are_converted_before_they_are_rounded() -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = with_chunk(imagecodecs.png_encode(np.repeat(deep[..., None], 3, 2)), b"gAMA", struct.pack(">I", 100_000))
    light = deep / 65535
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    image, facts = decode_with_facts(data)
    assert np.abs(image[..., 0] - expected).max() < 0.51 and facts.colour_profile == "gamma 1"


def test_png_says_its_colours_by_numbers() -> None:
    png = saved(SMOOTH, "PNG")
    half = with_chunk(png, b"gAMA", struct.pack(">I", 45455))
    np.testing.assert_array_equal(images.decode(half), SMOOTH)  # how PNG said sRGB before it had a chunk for that
    np.testing.assert_array_equal(
        images.decode(
            with_chunk(half, b"cHRM", struct.pack(">8I", *(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)))
        ),
        SMOOTH,
    )
    mac = with_chunk(png, b"gAMA", struct.pack(">I", 55556))
    image, facts = decode_with_facts(mac)
    assert facts.colour_profile == "gamma 1.8" and image.mean() > SMOOTH.mean() + 5
    np.testing.assert_array_equal(images.decode(with_chunk(mac, b"sRGB", b"\0")), SMOOTH)  # which comes before gAMA
    p3 = bytes(imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=P3, gamma=2.2))
    wide = with_chunk(half, b"cHRM", struct.pack(">8I", *(31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)))
    assert np.abs(images.decode(wide).astype(int) - expected_srgb(SMOOTH, p3)).max() <= 1
    image, facts = decode_with_facts(with_chunk(png, b"cICP", bytes((12, 13, 0, 1))))
    assert facts.colour_profile == "Display P3" and (image != SMOOTH).any()
    np.testing.assert_array_equal(images.decode(with_chunk(mac, b"cICP", bytes((1, 13, 0, 1)))), SMOOTH)
    for code in ((9, 16, 0, 1), (9, 18, 0, 1), (77, 13, 0, 1), (1, 13, 1, 1)):
        with pytest.raises(ImageError, match="is not handled|are not handled") as error:
            images.decode(with_chunk(png, b"cICP", bytes(code)))
        assert error.value.reason == "profile"


def test_adobe_rgb_of_a_camera_without_a_profile() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    data = saved(SMOOTH, "JPEG", quality=100, exif=exif)
    image, facts = decode_with_facts(data)
    assert facts.colour_profile == "Adobe RGB (EXIF R03)"
    np.testing.assert_array_equal(image, expected_srgb(np.asarray(Image.open(io.BytesIO(data))), ADOBE))


def test_the_profile_of_a_jpeg_that_became_a_jpeg_xl() -> None:
    data = imagecodecs.jpegxl_encode_jpeg(PROFILES["jpeg"](ADOBE))
    image, facts = decode_with_facts(data)
    assert facts.colour_profile.startswith("Adobe RGB")
    assert np.abs(image.astype(int) - images.decode(PROFILES["jpeg"](ADOBE))).mean() < 1


def test_as_stored_are_the_numbers_of_the_file(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(saved(SMOOTH, "PNG", icc_profile=ADOBE, exif=turned(6)))
    np.testing.assert_array_equal(images.read(tmp_path / "a.png", as_stored=True), SMOOTH)
    assert images.read(tmp_path / "a.png").shape == (64, 48, 3)


def test_conversions_are_counted_in_a_sentence_each() -> None:
    facts = [Facts(), Facts(orientation=6), Facts(orientation=3, colour_profile="P3"), Facts(colour_profile="P3")]
    facts.append(Facts(colour_profile=UNREADABLE))
    assert conversions(facts) == [
        "2 images are stored turned and were made upright",
        "1 images have a colour profile that can't be read and were taken as sRGB",
        "2 images have other colours than sRGB and were converted: P3 (2)",
    ]
    assert conversions([Facts()]) == []
