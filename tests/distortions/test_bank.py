"""The table made callable: labels, equal bytes whichever way a class is made, records, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline import distortions
from pipeline.distortions import DistortionError, Prepared, apply, distort, distort_all, draw, type_of
from pipeline.labels import label, type_and_level


def photograph(height: int = 96, width: int = 120, seed: int = 5) -> np.ndarray:
    """A smooth picture with edges that does not span 0..255."""
    y, x = np.mgrid[:height, :width]
    base = 120 + 60 * np.sin(x / 17.0) + 30 * np.cos(y / 11.0)
    image = np.stack([base, 0.8 * base + 20, 200 - 0.5 * base], axis=2)
    image[height // 4 : height // 2, width // 3 : width // 2] = (30, 180, 60)
    return np.clip(image + np.random.default_rng(seed).normal(0, 4, image.shape), 9, 240).astype(np.uint8)


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_labels_number_the_classes_from_one():
    assert label(1, 1) == 1 and label(25, 5) == 125
    assert type_and_level(0) == (0, 0)
    assert all(label(*type_and_level(number)) == number for number in range(1, 126))


@pytest.mark.parametrize("wrong", (0, 26, "blur", 1.5))
def test_unknown_types_are_refused(wrong):
    with pytest.raises(ValueError, match="type"):
        type_of(wrong)


def test_unknown_levels_and_labels_are_refused():
    for level in (0, 6):
        with pytest.raises(ValueError, match="level"):
            label(1, level)
    with pytest.raises(ValueError, match="label"):
        type_and_level(126)


def test_one_class_alone_has_the_bytes_it_has_among_all():
    image = photograph()
    children = generator().spawn(126)
    samples = list(distort_all(image, generator()))
    assert [sample.label for sample in samples] == list(range(126))
    assert np.array_equal(samples[0].image, distortions.pristine(image))
    for sample in samples[1:]:
        alone = distort(image, sample.type, sample.level, children[sample.label])
        assert np.array_equal(alone, sample.image), sample.record
        assert sample.image.dtype == np.uint8 and sample.image.shape == image.shape


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    image = photograph()
    for entry in distortions.TYPES:
        first, again, other = (distort(image, entry.name, 4, generator(seed)) for seed in (3, 3, 4))
        assert np.array_equal(first, again)
        if not entry.deterministic:
            assert not np.array_equal(first, other)


def test_levels_share_no_noise():
    image = np.full((64, 64, 3), 128, np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    noise = [sample.image[1:].astype(float) - 128 for sample in distort_all(image, generator()) if sample.type == 11]
    for one in range(5):
        for two in range(one):
            assert abs(np.corrcoef(noise[one].ravel(), noise[two].ravel())[0, 1]) < 0.05


def test_given_numbers_are_described_and_hits_counted():
    prepared = Prepared(photograph())
    numbers = np.random.default_rng(3).random(prepared.shape)
    for kind in (11, 12, 14, 15):
        assert distortions.describe(prepared, kind, 2, numbers)["draws"] == "given"
    fields = np.zeros((5, 2, *prepared.shape[:2]))
    assert distortions.describe(prepared, 19, 2, fields)["draws"] == "given"
    assert distortions.describe(prepared, 13, 5, numbers)["hits"] == int((numbers < 0.03).sum())
    assert distortions.describe(prepared, 11, 2, np.array([4, 5], np.uint64))["key"] == [4, 5]


@pytest.mark.parametrize("kind", (11, 12, 13, 14, 15, 19))
def test_draws_of_another_shape_are_refused(kind):
    prepared = Prepared(photograph())
    height, width, _ = prepared.shape
    for shape in ((width, height, 3), (height, width), (2,)):
        with pytest.raises(DistortionError, match="draws: expected"):
            apply(prepared, kind, 2, np.full(shape, 0.5))


def test_a_generator_spawns_anew_at_each_call():
    image, source = photograph(), generator()
    first, second = ([s.image for s in distort_all(image, source) if s.label == label(11, 1)] for _ in range(2))
    assert not np.array_equal(first[0], second[0])


def test_records_are_json_and_name_the_stand_ins():
    samples = list(distort_all(photograph(), generator()))
    for sample in samples:
        json.dumps(sample.record)
        assert sample.record["stand_in"] == (sample.type in (6, 9, 15))
    by_label = {sample.label: sample.record for sample in samples}
    assert 0 <= by_label[label(3, 5)]["angle_degrees"] <= 180
    assert by_label[label(9, 1)]["bytes"] > 0


def test_samples_own_their_pixels():
    image = photograph()
    prepared = Prepared(image)
    for kind, level in ((1, 1), (8, 1), (18, 3), (10, 2)):
        made = apply(prepared, kind, level, None)
        before = prepared.pristine.copy()
        made[:] = 7
        assert np.array_equal(prepared.pristine, before)


def test_missing_draws_are_refused_by_name():
    with pytest.raises(DistortionError, match="white_noise"):
        apply(Prepared(photograph()), 11, 1, None)


def test_deterministic_types_draw_nothing():
    for entry in distortions.TYPES:
        drawn = draw(entry.id, generator(), (64, 64, 3), 1)
        assert (drawn is None) == entry.deterministic
