"""The bank of distortions: one class of an image, or all 126 of them.

A distortion is (image, level, draws) -> image. ``draw`` makes the draws, and nothing else is random. ``Prepared`` holds
what several types share. ``distort`` and ``distort_all`` run the same code and give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.artifacts import fingerprint
from pipeline.distortions import (
    blur,
    brightness,
    color,
    compression,
    contrast,
    denoise,
    jitter,
    noise,
    otsu,
    palette,
    spatial,
)
from pipeline.distortions.composites import Recipe
from pipeline.distortions.denoise import Denoiser
from pipeline.distortions.manifest import TYPES, type_of
from pipeline.distortions.prepared import DistortionError, Prepared
from pipeline.distortions.types import Bytes
from pipeline.labels import CLASSES, COMPOSITE, PRISTINE, type_and_level

FORMAT = 1
"""Raise it when the pixels of a class change for the same source and draws; it is part of every fingerprint."""

Draws = Any
"""None for a deterministic type; an integer, an array or a pair of arrays for the others (see ``draw``)."""


@dataclass(frozen=True)
class Sample:
    """One class of one source: ``image`` (H, W, 3) uint8 and ``record``, plain numbers that describe it."""

    label: int
    type: int
    level: int
    image: Bytes
    record: dict[str, Any] = field(default_factory=dict)


_PLAIN: dict[str, Callable[[Prepared, float], Bytes]] = {
    "gaussian_blur": blur.gaussian_blur,
    "lens_blur": blur.lens_blur,
    "color_diffusion": color.color_diffusion,
    "color_saturation_1": color.saturation_hsv,
    "color_saturation_2": color.saturation_lab,
    "jpeg": compression.jpeg,
    "brighten": brightness.brighten,
    "darken": brightness.darken,
    "mean_shift": brightness.mean_shift,
    "pixelate": spatial.pixelate,
    "quantization": otsu.quantization,
    "high_sharpen": contrast.high_sharpen,
    "contrast_change": contrast.contrast_change,
}
_ALL_LEVELS: dict[str, Callable[[Prepared, float, tuple[float, ...]], Bytes]] = {
    "color_quantization": palette.color_quantization,
    "jpeg2000": compression.jpeg2000,
}
_DRAWN: dict[str, Callable[[Prepared, float, Draws], Bytes]] = {
    "motion_blur": blur.motion_blur,
    "color_shift": color.color_shift,
    "white_noise": noise.white_noise,
    "white_noise_color_component": noise.white_noise_color_component,
    "impulse_noise": noise.impulse_noise,
    "multiplicative_noise": noise.multiplicative_noise,
    "jitter": jitter.jitter,
    "non_eccentricity_patch": lambda prepared, _, draws: spatial.non_eccentricity_patch(prepared, draws),
    "color_block": lambda prepared, _, draws: spatial.color_block(prepared, draws),
}
_KEYED = ("white_noise", "white_noise_color_component", "multiplicative_noise", "denoise", "jitter")


def draw(kind: int | str, generator: np.random.Generator, shape: tuple[int, ...], level: int) -> Draws:
    """The draws of one class of an image of ``shape`` (H, W, 3).

    Type 3: whole degrees; 5: two uniforms; 20: (n, 4) and 23: (n, 5) uniforms; 13: places and black or white; 11, 12,
    14, 15 and 19: a key, uint64[2], of a counter-based field. None for a deterministic type, which draws nothing.
    """
    entry = type_of(kind)
    value = entry.value(level)
    if entry.name in _KEYED:
        return noise.draw_key(generator)
    if entry.name == "motion_blur":
        return blur.draw_angle(generator)
    if entry.name == "color_shift":
        return color.draw_direction(generator)
    if entry.name == "impulse_noise":
        return noise.draw_hits(generator, (shape[0], shape[1], 3), value)
    if entry.name == "non_eccentricity_patch":
        return spatial.draw_patches(generator, value)
    if entry.name == "color_block":
        return spatial.draw_blocks(generator, value)
    return None


def apply(prepared: Prepared, kind: int | str, level: int, draws: Draws, *, denoiser: Denoiser | None = None) -> Bytes:
    """Class (``kind``, ``level``) of a prepared image, (H, W, 3) uint8, a new array.

    ``draws`` come from ``draw``; the types with a key also take the numbers themselves (standard normals or uniforms
    of shape (H, W, 3); type 19: (5, 2, H, W)). ``denoiser`` takes the place of type 15's stand-in. ``DistortionError``
    where a codec fails.
    """
    entry = type_of(kind)
    value = entry.value(level)
    if entry.name in _PLAIN:
        image = _PLAIN[entry.name](prepared, value)
    elif entry.name in _ALL_LEVELS:
        image = _ALL_LEVELS[entry.name](prepared, value, entry.levels)
    elif draws is None:
        raise DistortionError(f"{entry.name}: needs draws; make them with draw()")
    elif entry.name == "denoise":
        image = denoise.denoised(prepared, value, draws, denoiser)
    else:
        image = _DRAWN[entry.name](prepared, value, draws)
    return image.copy() if image is prepared.image or image is prepared.pristine else image


def describe(
    prepared: Prepared, kind: int | str, level: int, draws: Draws, *, denoiser: Denoiser | None = None
) -> dict[str, Any]:
    """The record of a class in a sample's json: its parameter and value, and the draws that fit in a line.

    Numbers that are given instead of a key are recorded as ``"draws": "given"``. ``stand_in`` is true for type 15 with
    any ``denoiser``, because none is MATLAB's; the denoiser's name is recorded.
    """
    entry = type_of(kind)
    value = entry.value(level)
    record: dict[str, Any] = {"name": entry.name, "level": int(level), entry.parameter: value}
    record["stand_in"] = entry.stand_in
    if entry.name in _KEYED:
        record.update(noise.key_record(draws))
    elif entry.name == "motion_blur":
        record["angle_degrees"] = int(draws)
    elif entry.name == "color_shift":
        record["shift_rows_columns"] = list(color.shift_of(value, draws))
    elif entry.name == "impulse_noise":
        record["hits"] = int(noise.hits_of(prepared, value, draws)[0].size)
    elif entry.name == "jpeg2000":
        record.update(compression.reached(prepared, value, entry.levels))
    if entry.name == "denoise" and denoiser is not None:
        record["denoiser"] = getattr(denoiser, "name", "given")
    return record


def pristine(image: np.ndarray) -> Bytes:
    """The stretched image, label 0, as a new array."""
    return Prepared(image).pristine.copy()


def distort(
    image: np.ndarray, kind: int | str, level: int, generator: np.random.Generator, *, denoiser: Denoiser | None = None
) -> Bytes:
    """One class of ``image`` (H, W, 3) uint8 RGB, 64..8192 pixels a side. ``kind`` is a number 1..25 or a name.

    ``DistortionError`` for an image of another dtype, shape or size; ``ValueError`` for an unknown type or level.
    """
    prepared = Prepared(image)
    return apply(prepared, kind, level, draw(kind, generator, prepared.shape, level), denoiser=denoiser)


def distort_all(
    image: np.ndarray,
    generator: np.random.Generator,
    *,
    denoiser: Denoiser | None = None,
    recipes: Sequence[Recipe] = (),
) -> Iterator[Sample]:
    """The 126 classes of ``image`` in the order of their labels, beginning with the pristine one; then a composite for
    each of ``recipes``, labels from 126 on.

    Class ``label`` draws from ``generator.spawn(label + 1)[label]``, so ``distort`` or ``compose`` with that child
    gives equal bytes. Pass a fresh generator: it spawns other children at each call, so a second call with it makes
    other samples.
    """
    prepared = Prepared(image)
    seeds = generator.bit_generator.seed_seq.spawn(CLASSES + len(recipes))  # type: ignore[attr-defined]
    yield Sample(PRISTINE, 0, 0, prepared.pristine.copy(), {"name": "pristine", "level": 0, "stand_in": False})
    for label in range(1, CLASSES):
        kind, level = type_and_level(label)
        draws = None
        if not type_of(kind).deterministic:
            child = np.random.Generator(type(generator.bit_generator)(seeds[label]))
            draws = draw(kind, child, prepared.shape, level)
        made = apply(prepared, kind, level, draws, denoiser=denoiser)
        yield Sample(label, kind, level, made, describe(prepared, kind, level, draws, denoiser=denoiser))
    for label, recipe in enumerate(recipes, CLASSES):
        child = np.random.Generator(type(generator.bit_generator)(seeds[label]))
        made, steps = compose(image, recipe, child, denoiser=denoiser)
        record = {"name": "composite", "steps": steps, "stand_in": any(step["stand_in"] for step in steps)}
        yield Sample(label, COMPOSITE, len(recipe), made, record)


def compose(
    image: np.ndarray, recipe: Recipe, generator: np.random.Generator, *, denoiser: Denoiser | None = None
) -> tuple[Bytes, list[dict[str, Any]]]:
    """``image`` distorted by the classes of ``recipe``, one after the other, each on the bytes of the last; and the
    record of each step, with its type. Step i draws from ``generator.spawn(len(recipe))[i]``.
    """
    steps = []
    for (kind, level), child in zip(recipe, generator.spawn(len(recipe)), strict=True):
        prepared = Prepared(image)
        draws = draw(kind, child, prepared.shape, level)
        image = apply(prepared, kind, level, draws, denoiser=denoiser)
        steps.append({"type": kind, **describe(prepared, kind, level, draws, denoiser=denoiser)})
    return image, steps


def fingerprint_parts() -> dict[str, Any]:
    """What decides the pixels of a class besides the source and the draws: the code's FORMAT and the table of types."""
    return {"bank": FORMAT, "table": fingerprint({"types": [asdict(kind) for kind in TYPES]})}


def compile_kernels() -> None:
    """Compile every loop into numba's cache; call it before workers start, or each of them compiles.

    It takes half a minute the first time and a second with a full cache.
    """
    image = np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3)
    for _ in distort_all(image, np.random.Generator(np.random.Philox(0))):
        pass
