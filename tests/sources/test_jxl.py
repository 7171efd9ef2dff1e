"""JPEG XL in a user's folder: alpha, CMYK and foreign colours are treated as those of any other format, or refused."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from pipeline import images
from pipeline.images.jxl import JxlSpace, jxl_header
from pipeline.params.sections import FolderParams
from pipeline.sources.folder.image_filters import apply_filters
from tests.sources import fixtures

PICTURE = np.ascontiguousarray(fixtures.picture(7)[:256, :256])
RULES = FolderParams(min_side=200)
SIZE = 9  # bits of 256 x 256
DEPTH = [0, 0, 0]  # 8 bits
PLAIN = [*DEPTH, 0, 0, 0, 0]  # of an extra channel: 8 bits, full size, no name


def bits(value: int, count: int) -> list[int]:
    return [value >> place & 1 for place in range(count)]


def enum(value: int) -> list[int]:
    """A number as the header writes those of a list of names."""
    if value < 2:
        return bits(value, 2)
    return bits(2, 2) + bits(value - 2, 4) if value < 18 else bits(3, 2) + bits(value - 18, 6)


def space(white: int = 1, primaries: int = 1, curve: int = 13) -> list[int]:
    """An RGB space by numbers of ISO/IEC 23091-2 (1, 1, 13: sRGB)."""
    return [0, 0, *enum(0), *enum(white), *enum(primaries), 0, *enum(curve), *enum(1)]


def file(
    image: np.ndarray, extra: list[int] | None = None, colours: list[int] | None = None, lossy: bool = False
) -> bytes:
    """``image`` as JPEG XL with another description of its extra channel, or of its colours, in the header."""
    data = imagecodecs.jpegxl_encode(image, lossless=not lossy, distance=1.0 if lossy else None, effort=1)
    old, alpha = bits(int.from_bytes(data[2:8], "little"), 48), image.shape[2] == 4
    assert image.shape[:2] == (256, 256) and old[SIZE] == (lossy and not alpha)  # all of it at its defaults
    end = SIZE + (1 if old[SIZE] else 12 + alpha) + 1
    made = [0, 0, *DEPTH, 1, *bits(alpha, 2), *((extra or [1]) if alpha else []), int(lossy), *(colours or [1]), 0, 0]
    head = [*old[:SIZE], *made, 1]
    head += [0] * (-len(head) % 8)
    start = sum(bit << place for place, bit in enumerate(head)).to_bytes(len(head) // 8, "little")
    return data[:2] + start + data[2 - (-end // 8) :]


def with_alpha(rows: int, value: int = 0) -> np.ndarray:
    """The picture, of which the first ``rows`` have an alpha of ``value``."""
    alpha = np.full(PICTURE.shape[:2], 255, np.uint8)
    alpha[:rows] = value
    return np.dstack([PICTURE, alpha])


def test_what_is_spliced_decodes_to_the_same_pixels() -> None:
    assert np.array_equal(images.decode(file(PICTURE, colours=space())), PICTURE)
    assert np.array_equal(images.decode(file(with_alpha(0), extra=[0, *enum(0), *PLAIN, 0])), PICTURE)


def test_alpha_is_laid_over_white_and_counted() -> None:
    for extra in ([1], [0, *enum(0), *PLAIN, 0]):
        filtered = apply_filters(file(with_alpha(50), extra=extra), RULES)
        assert filtered.mode == "RGBA" and filtered.actions == ("over white", "trimmed")
        assert np.array_equal(filtered.image, PICTURE[50:])
        assert apply_filters(file(with_alpha(200), extra=extra), RULES).reason == "transparent"
    for value, share in ((127, 0.5), (128, 0.0)):
        assert images.decode_with_facts(file(with_alpha(128, value)))[1].transparent == share
    deep = imagecodecs.jpegxl_encode(with_alpha(64).astype(np.uint16) * 257, lossless=True)
    assert images.decode_with_facts(deep)[1].transparent == 0.25


@pytest.mark.parametrize("lossy", [False, True], ids=["lossless", "lossy"])
def test_another_white_and_a_profile_inside_are_refused(lossy: bool) -> None:
    for colours in (None, space()):
        assert apply_filters(file(PICTURE, colours=colours, lossy=lossy), RULES).reason == ""
    for colours in (space(white=11), [0, 1, *enum(0)]):
        data = file(PICTURE, colours=colours, lossy=lossy)
        assert jxl_header(data).space == JxlSpace() and jxl_header(data).height == 256
        if colours[1] == 0:
            assert apply_filters(data, RULES).reason == "profile"


WIDE = {"Display P3": (11, 13), "BT.2020": (9, 13), "sRGB, linear": (1, 8), "sRGB, BT.709's curve": (1, 1)}


@pytest.mark.parametrize("name", WIDE)
def test_named_colour_spaces_become_srgb(name: str) -> None:
    """A lossy file holds colours and no numbers: whatever space its header names, sRGB's numbers come out."""
    primaries, curve = WIDE[name]
    data = file(PICTURE, colours=space(primaries=primaries, curve=curve), lossy=True)
    image, facts = images.decode_with_facts(data)
    same = images.decode(file(PICTURE, colours=space(), lossy=True)).astype(int)
    stored = imagecodecs.jpegxl_decode(data).astype(int)
    assert facts.colour_profile == name
    assert np.abs(image - same).mean() < 0.6 < 7 < np.abs(stored - same).mean()
    assert "to sRGB" in apply_filters(data, RULES).actions


def test_hdr_is_refused() -> None:
    for curve in (16, 18):
        with pytest.raises(images.ImageError, match="h.jxl: high dynamic range"):
            images.decode(file(PICTURE, colours=space(primaries=9, curve=curve)), name="h.jxl")


def test_cmyk_and_premultiplied_colours_are_refused() -> None:
    black = file(with_alpha(0), extra=[0, *enum(4), *PLAIN])
    with pytest.raises(images.ImageError, match="^k.jxl: CMYK"):
        images.decode(black, name="k.jxl")
    multiplied = file(with_alpha(50), extra=[0, *enum(0), *PLAIN, 1])
    with pytest.raises(images.ImageError, match="^a.jxl: colours that are multiplied by alpha"):
        images.decode(multiplied, name="a.jxl")
    assert apply_filters(black, RULES).reason == apply_filters(multiplied, RULES).reason == "colour mode"


def test_a_depth_map_beside_the_colours_is_passed_over() -> None:
    data = file(with_alpha(50), extra=[0, *enum(1), *PLAIN])
    assert np.array_equal(apply_filters(data, RULES).image, PICTURE)
    named = [
        0,
        *enum(2),
        *DEPTH,
        0,
        0,
        *bits(1, 2),
        *bits(3, 4),
        *bits(0x746F70, 24),
        *bits(0, 64),
    ]  # a spot colour, "pot"
    header = jxl_header(file(with_alpha(50), extra=named))
    assert not header.alpha and header.space is None


def test_grey_is_brought_to_the_curve_of_srgb() -> None:
    grey = np.ascontiguousarray(PICTURE[..., 0])
    assert apply_filters(imagecodecs.jpegxl_encode(grey, lossless=True), RULES).actions == ("grey",)
    linear = imagecodecs.jpegxl_encode(grey.astype(np.uint16) * 257, lossless=True)  # its header says linear
    light = grey / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(images.decode(linear)[..., 0] - expected).max() < 0.6
