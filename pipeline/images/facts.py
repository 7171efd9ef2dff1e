"""Orientation and colour profile of files, and a summary of them for many files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.images.colour import UNREADABLE
from pipeline.images.orientation import UPRIGHT


@dataclass(frozen=True)
class Facts:
    """``mode``: Pillow's word for the file's samples. ``transparent``: share of pixels whose alpha is below one half.

    ``orientation``: EXIF's 1..8, how the file is stored (1: upright). ``colour_profile``: the colour space that the
    image was converted from; empty for sRGB and where the file says nothing.
    """

    mode: str = "RGB"
    transparent: float = 0.0
    orientation: int = UPRIGHT
    colour_profile: str = ""


def conversions(facts: Iterable[Facts]) -> list[str]:
    """How many images were turned upright, and how many came from other colour spaces, in a sentence each."""
    every = list(facts)
    turned = sum(image.orientation != UPRIGHT for image in every)
    profiles = Counter(image.colour_profile for image in every if image.colour_profile)
    unreadable = profiles.pop(UNREADABLE, 0)
    sentences = [f"{turned} images are stored turned and were made upright"] if turned else []
    if unreadable:
        sentences.append(f"{unreadable} images have a colour profile that can't be read and were taken as sRGB")
    if profiles:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(profiles.items()))
        sentences.append(f"{profiles.total()} images have other colours than sRGB and were converted: {listed}")
    return sentences
