"""Composites: which recipes are drawn, and what an image becomes by one."""

from __future__ import annotations

import numpy as np

from pipeline import distortions
from pipeline.distortions import TYPES, distort, distort_all, recipes
from pipeline.labels import CLASSES, COMPOSITE, IDENTICAL_TO_PRISTINE, label
from tests.distortions.test_bank import generator, photograph


def test_a_recipe_is_of_two_to_five_groups_each_once_and_changes_the_image() -> None:
    drawn = recipes(3, 300)
    assert len(set(drawn)) == 300 and {len(recipe) for recipe in drawn} == {2, 3, 4, 5}
    for recipe in drawn:
        groups = [TYPES[kind - 1].group for kind, _ in recipe]
        assert len(set(groups)) == len(groups)
        assert not any(label(*step) in IDENTICAL_TO_PRISTINE for step in recipe)
    assert {kind for recipe in drawn for kind, _ in recipe} == set(range(1, 26))
    assert any([kind for kind, _ in recipe] != sorted(kind for kind, _ in recipe) for recipe in drawn)


def test_a_greater_count_keeps_the_first_recipes_and_a_seed_has_its_own() -> None:
    assert recipes(3, 40)[:7] == recipes(3, 7) != recipes(4, 7)
    assert recipes(3, 0) == ()


def test_composites_follow_the_classes_and_change_none_of_them() -> None:
    image, given = photograph()[:64, :64], (((11, 3), (1, 4)), ((23, 2), (10, 5), (17, 1)))
    plain, more = list(distort_all(image, generator(5))), list(distort_all(image, generator(5), recipes=given))
    assert [(a.record, a.image.tobytes()) for a in plain] == [(b.record, b.image.tobytes()) for b in more[:CLASSES]]
    assert [(made.label, made.type, made.level) for made in more[CLASSES:]] == [
        (126, COMPOSITE, 2),
        (127, COMPOSITE, 3),
    ]
    for made, recipe in zip(more[CLASSES:], given, strict=True):
        steps = [(step["type"], step["level"]) for step in made.record["steps"]]
        assert made.record["name"] == "composite" and steps == list(recipe)
        expected = image
        children = generator(5).spawn(made.label + 1)[made.label].spawn(len(recipe))
        for (kind, level), child in zip(recipe, children, strict=True):
            expected = distort(expected, kind, level, child)
        np.testing.assert_array_equal(made.image, expected)
    swapped = distortions.compose(image, given[0][::-1], generator(5))[0]
    assert not np.array_equal(swapped, distortions.compose(image, given[0], generator(5))[0])
