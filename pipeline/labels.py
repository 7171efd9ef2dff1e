"""The 126 classes of a distorted set: label <-> (type, level). Composites have the labels from 126 on."""

from __future__ import annotations

TYPES = 25  # in KADIS order, numbered from 1
LEVELS = 5  # of each type, numbered from 1
PRISTINE = 0  # the label of the undistorted image
CLASSES = 1 + TYPES * LEVELS  # 126
COMPOSITE = TYPES + 1  # the type of an image that several types distort in turn; its level is their number
IDENTICAL_TO_PRISTINE = (1, 11, 36, 88)
"""Labels whose image equals the pristine one to one grey level: blur 0.1, motion 1, saturation x 1, mean shift 0."""


def label(type: int, level: int) -> int:
    """5 (type - 1) + level, 1..125, for a type 1..25 and a level 1..5; ``ValueError`` for any other."""
    if int(type) != type or not 1 <= type <= TYPES:
        raise ValueError(f"type: expected 1..{TYPES}, got {type!r}")
    return LEVELS * (int(type) - 1) + checked_level(level)


def checked_level(level: int) -> int:
    """``level`` as an int; ``ValueError`` unless it is one of 1..5."""
    if int(level) != level or not 1 <= level <= LEVELS:
        raise ValueError(f"level: expected 1..{LEVELS}, got {level!r}")
    return int(level)


def type_and_level(label: int) -> tuple[int, int]:
    """(type, level) of a label 1..125; (0, 0) of the pristine image, label 0; ``ValueError`` for any other."""
    if int(label) != label or not 0 <= label < CLASSES:
        raise ValueError(f"label: expected 0..{CLASSES - 1}, got {label!r}")
    type, level = divmod(int(label) - 1, LEVELS)
    return (0, 0) if label == PRISTINE else (type + 1, level + 1)
