"""Composites: images distorted by several types in turn. A recipe says which, and each recipe is a class of its own."""

from __future__ import annotations

from typing import TypeAlias

from pipeline.distortions.manifest import TYPES
from pipeline.labels import IDENTICAL_TO_PRISTINE, LEVELS, label, type_and_level
from pipeline.seeding import generator

Recipe: TypeAlias = tuple[tuple[int, int], ...]
"""(type, level) of each step, in the order in which they are applied."""

FEWEST, MOST = 2, 5  # steps


def recipes(seed: int, count: int) -> tuple[Recipe, ...]:
    """The recipes of the labels from 126 on: ``count`` different ones, of which a greater count keeps the first.

    Two to five groups of types are drawn in their order, and of each group one class that changes an image.
    """
    groups: dict[str, list[int]] = {}
    for kind in TYPES:
        labels = (label(kind.id, level) for level in range(1, LEVELS + 1))
        groups.setdefault(kind.group, []).extend(set(labels).difference(IDENTICAL_TO_PRISTINE))
    classes = [sorted(labels) for labels in groups.values()]
    random = generator(seed, "distort/composites")
    drawn: dict[Recipe, None] = {}
    while len(drawn) < count:
        chosen = random.permutation(len(classes))[: random.integers(FEWEST, MOST + 1)]
        drawn[tuple(type_and_level(int(random.choice(classes[group]))) for group in chosen)] = None
    return tuple(drawn)
