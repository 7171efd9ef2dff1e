"""What a file is beside its pixels, and how that is told once for many files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

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
    turned = sum(one.orientation != UPRIGHT for one in every)
    profiles = Counter(one.colour_profile for one in every if one.colour_profile)
    sentences = [f"{turned} images are stored turned and were made upright"] if turned else []
    if profiles:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(profiles.items()))
        sentences.append(f"{profiles.total()} images have other colours than sRGB and were converted: {listed}")
    return sentences
