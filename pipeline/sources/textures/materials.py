"""Procedural grey textures that look like materials: stone, wood, cloth, skin, ground, metal, water.

Each material is a function of a generator: it builds a surface (height, grain, tone) and lights it. The set is fixed
and does not depend on the run's seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.seeding import generator
from pipeline.sources.textures.procedural_noise import SIDE, Field, cells, grid, lit, noise, smooth, unit, warped

_TAU = 2 * np.pi


def _granite(g: np.random.Generator) -> Field:
    grey = np.zeros((SIDE, SIDE))
    bend = 3 * noise(g, 2.6), 3 * noise(g, 2.6)
    for across, weight in ((26, 0.5), (52, 0.4), (110, 0.22)):
        _, _, owner = cells(g, across)
        crystal = g.choice([0.0, 0.45, 0.6, 1.0], size=across * across, p=[0.2, 0.3, 0.3, 0.2])
        grey += weight * warped(crystal[owner], *bend)
    return grey + 0.035 * noise(g, 1.4) + 0.06 * noise(g, 3.4)


def _marble(g: np.random.Generator) -> Field:
    bend = 45 * noise(g, 4.0), 45 * noise(g, 4.0)
    vein = warped(noise(g, 4.6, coarse=260), *bend)
    fine = warped(noise(g, 4.2, coarse=90), bend[1], bend[0])
    presence = np.clip(0.6 + 0.5 * noise(g, 4.5), 0, 1)
    dark = np.exp(-np.abs(vein) / 0.05) * presence + 0.4 * np.exp(-np.abs(fine) / 0.09) * (1 - presence)
    return 0.8 + 0.12 * noise(g, 4.0) - 0.5 * dark + 0.012 * noise(g, 2.0)


def _wood(g: np.random.Generator) -> Field:
    _, columns = grid()
    bend = 26 * noise(g, 4.6, stretch=(6, 1)) + 1.5 * noise(g, 3.0, stretch=(10, 1), coarse=120)
    phase = (columns + bend) * 12 / SIDE
    ring = phase - np.floor(phase)
    late = np.where(ring < 0.84, ring**2.4, 1 - (ring - 0.84) / 0.16)
    fibre = noise(g, 1.4, stretch=(24, 1), coarse=60)
    pores = smooth((noise(g, 1.0, stretch=(9, 1), coarse=14) > 2.0).astype(float), 0.8)
    return 0.7 - 0.34 * late + 0.035 * fibre - 0.2 * pores + 0.06 * noise(g, 3.6)


def _linen(g: np.random.Generator) -> Field:
    rows, columns = grid()
    threads = 44
    y = rows * threads / SIDE + 0.2 * noise(g, 3.0, stretch=(1, 6))
    x = columns * threads / SIDE + 0.2 * noise(g, 3.0, stretch=(6, 1))
    over = (np.floor(y) + np.floor(x)) % 2 < 1
    weft, warp = 0.45 + g.gamma(9, 1 / 16, threads), 0.45 + g.gamma(9, 1 / 16, threads)
    beside_weft, beside_warp = y % 1 - 0.5, x % 1 - 0.5
    round_weft = _barrel(beside_weft) * (0.66 + 0.34 * np.cos(np.pi * beside_warp))
    round_warp = _barrel(beside_warp) * (0.66 + 0.34 * np.cos(np.pi * beside_weft))
    bright_weft = weft[np.floor(y).astype(int) % threads] * (1 + 0.09 * noise(g, 1.2, stretch=(1, 5), coarse=40))
    bright_warp = warp[np.floor(x).astype(int) % threads] * (0.9 + 0.09 * noise(g, 1.2, stretch=(5, 1), coarse=40))
    return np.asarray(np.where(over, round_weft * bright_weft, round_warp * bright_warp) + 0.05 * noise(g, 3.0))


def _barrel(beside: Field) -> Field:
    """Light on a round thread; ``beside`` is 0 in its middle and -0.5 and 0.5 at its edges."""
    return np.sqrt(np.maximum(1 - (beside / 0.57) ** 2, 0))


def _knit(g: np.random.Generator) -> Field:
    rows, columns = grid()
    wales, courses = 17, 22
    x = columns * wales / SIDE + 0.12 * noise(g, 3.6)
    y = rows * courses / SIDE + 0.16 * noise(g, 3.6)
    side = np.abs(x % 1 - 0.5) * 2
    lift = (y + 0.85 * side) % 1
    loop = _barrel(lift - 0.5) * np.sqrt(np.maximum(1 - ((side - 0.5) / 0.62) ** 2, 0))
    twist = 0.5 + 0.5 * np.cos(_TAU * (2 * lift + 2.4 * side) + 0.8 * noise(g, 2.5, coarse=60))
    return loop * (0.75 + 0.14 * twist + 0.05 * noise(g, 1.2, coarse=24)) + 0.05 * noise(g, 3.6)


def _concrete(g: np.random.Generator) -> Field:
    near, _, owner = cells(g, 34)
    size = np.where(g.random(34 * 34) < 0.3, g.uniform(0.05, 0.24, 34 * 34), 0.0)[owner]
    pore = np.clip((size - near) / 0.08, 0, 1)
    light = lit(2.4 * noise(g, 4.0) + 0.35 * noise(g, 2.6, coarse=40) - 1.3 * pore)
    return light - 0.22 * pore + 0.07 * noise(g, 3.0) + 0.012 * noise(g, 1.0)


def _sand(g: np.random.Generator) -> Field:
    rows, _ = grid()
    near, _, owner = cells(g, 150)
    phase = rows * 7 / SIDE + 0.42 * noise(g, 4.2, stretch=(1, 1.6))
    ripple = 5.5 * (0.5 + 0.5 * np.sin(_TAU * phase + 0.7 * np.sin(_TAU * phase)))
    grain = 0.45 * np.sqrt(np.maximum(1 - near**2, 0))
    light = lit(ripple + grain + 1.2 * noise(g, 3.8), angle=1.4, elevation=0.8)
    return light * (0.85 + 0.3 * g.random(150 * 150)[owner])


def _leather(g: np.random.Generator) -> Field:
    bend = 6 * noise(g, 3.4), 6 * noise(g, 3.4)
    near, second, _ = cells(g, 30)
    crease = warped(second - near, *bend)
    fine_near, fine_second, _ = cells(g, 64)
    fine = warped(fine_second - fine_near, bend[1], bend[0])
    height = 5.5 * np.sqrt(np.minimum(crease, 0.5)) + 1.8 * np.sqrt(np.minimum(fine, 0.4)) + 4 * noise(g, 4.4)
    return lit(smooth(height, 1.5), elevation=0.85) + 0.25 * np.minimum(crease, 0.3)


def _pebbles(g: np.random.Generator) -> Field:
    bend = 6 * noise(g, 3.4), 6 * noise(g, 3.4)
    near, second, owner = cells(g, 14)
    gap = warped(second - near, *bend)
    stone = warped(g.uniform(0.45, 1.0, 14 * 14)[owner], *bend)
    dome = 16 * np.sqrt(np.clip(1 - (1 - np.clip(gap / 0.6, 0, 1)) ** 2, 0, 1))
    light = lit(smooth(dome, 1.2) + 0.8 * noise(g, 3.4, coarse=60), elevation=0.95)
    return light * stone * (1 + 0.07 * noise(g, 2.4)) * np.clip(gap / 0.1, 0.3, 1)


def _bark(g: np.random.Generator) -> Field:
    bend = 16 * noise(g, 4.0), 8 * noise(g, 3.6)
    ridge = np.abs(warped(noise(g, 3.8, stretch=(4, 1), coarse=150), *bend))
    plate = np.abs(noise(g, 4.0, stretch=(1, 1.6), coarse=90))
    height = 10 * np.sqrt(np.minimum(ridge, 1)) + 3.5 * np.sqrt(np.minimum(plate, 1)) + 1.2 * noise(g, 3.0, coarse=40)
    return lit(smooth(height, 1.0), angle=0.4, elevation=0.85) * (0.5 + 0.5 * np.clip(ridge / 0.5, 0, 1))


def _fur(g: np.random.Generator) -> Field:
    turn = 0.9 * noise(g, 4.6) + 0.2 * noise(g, 3.0, coarse=60)
    strands = noise(g, 1.0, coarse=9, fine=3) + 0.8 * noise(g, 1.5, coarse=40, fine=6)
    total, down, along = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for step in range(14):
        total += warped(strands, down, along) * (1 - step / 18)
        down, along = down + 2.2 * np.cos(turn), along + 2.2 * np.sin(turn)
    return unit(total) * (0.75 + 0.14 * noise(g, 3.2, coarse=120)) + 0.05 * noise(g, 3.6)


def _rust(g: np.random.Generator) -> Field:
    patch = warped(noise(g, 3.4), 14 * noise(g, 3.0), 14 * noise(g, 3.0))
    flaked = np.clip((patch - 0.1) / 0.3, 0, 1)
    crust = lit(3.5 * flaked + flaked * 1.6 * noise(g, 2.8, coarse=50) + 0.4 * noise(g, 2.6, coarse=60))
    stain = np.clip(noise(g, 3.4, stretch=(2.5, 1)), -1, 2)
    return crust * (0.95 - 0.45 * flaked) + 0.05 * noise(g, 2.4) * (0.2 + flaked) - 0.06 * stain


def _cork(g: np.random.Generator) -> Field:
    bend = 3 * noise(g, 3.0), 3 * noise(g, 3.0)
    near, second, owner = cells(g, 40)
    tone = warped(g.uniform(0.5, 0.85, 40 * 40)[owner], *bend)
    hole = smooth((noise(g, 2.2, coarse=50, fine=5) > 1.7).astype(float), 1.0)
    edge = np.clip(warped(second - near, *bend) / 0.18, 0, 1)
    return tone * (0.8 + 0.2 * edge) - 0.4 * hole + 0.05 * noise(g, 2.0)


def _brushed(g: np.random.Generator) -> Field:
    rows, _ = grid()
    scratch = noise(g, 1.0, stretch=(1, 60), coarse=60) + 0.8 * noise(g, 2.0, stretch=(1, 25))
    sheen = np.sin(_TAU * rows / SIDE) + 0.8 * noise(g, 4.0)
    return 0.6 + 0.1 * scratch + 0.09 * sheen + 0.01 * noise(g, 1.0)


def _foam(g: np.random.Generator) -> Field:
    grey = 0.35 + 0.06 * noise(g, 3.4)
    for across in (44, 19, 8):
        near, _, owner = cells(g, across)
        radius = np.where(g.random(across * across) < 0.75, g.uniform(0.28, 0.5, across * across), 0.0)[owner]
        inside = (near < radius) & (radius > 0)
        rim = np.exp(-(((near - radius * 0.93) / 0.06) ** 2))
        bubble = 0.4 + 0.4 * rim + 0.25 * (near / np.maximum(radius, 1e-6)) ** 3
        grey = np.where(inside, 0.4 * grey + 0.6 * bubble, grey)
    return grey + 0.012 * noise(g, 1.4)


def _water(g: np.random.Generator) -> Field:
    bend = 20 * noise(g, 4.4, coarse=250), 20 * noise(g, 4.4, coarse=250)
    near, second, _ = cells(g, 8)
    other_near, other_second, _ = cells(g, 13)
    first = np.exp(-warped(second - near, *bend) / 0.11)
    fine = np.exp(-warped(other_second - other_near, bend[1], bend[0]) / 0.15)
    return 0.35 + 0.1 * noise(g, 4.0) + 0.5 * first + 0.3 * fine + 0.02 * noise(g, 2.2, stretch=(1, 3))


def _masonry(g: np.random.Generator) -> Field:
    rows, columns = grid()
    courses, bricks = 12, 6
    y = rows * courses / SIDE + 0.05 * noise(g, 3.4)
    course = np.floor(y).astype(int) % courses
    x = columns * bricks / SIDE + 0.5 * (course % 2) + 0.03 * noise(g, 3.4)
    edge = np.minimum(np.minimum(y % 1, 1 - y % 1) * 2, np.minimum(x % 1, 1 - x % 1) * 4)
    raised = np.clip((edge - 0.12) / 0.1, 0, 1)
    tone = g.uniform(0.4, 0.85, (courses, bricks))[course, np.floor(x).astype(int) % bricks]
    surface = 3.0 * raised + 0.9 * noise(g, 3.2, coarse=80) * (0.4 + 0.6 * raised)
    return lit(smooth(surface, 0.8)) * np.where(raised > 0.5, tone, 0.82) * (1 + 0.06 * noise(g, 2.2))


def _shingles(g: np.random.Generator) -> Field:
    rows, columns = grid()
    down, across = 16, 12
    wobble = 0.04 * noise(g, 3.6)
    tones = g.uniform(0.5, 0.95, (down, across))
    tone, height = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for back in (0, 1):  # a row hangs over the one below it: the row above is laid last
        row = np.floor(rows * down / SIDE) - back
        x = columns * across / SIDE + 0.5 * (row % 2) + wobble
        beside, hang = np.abs(x % 1 - 0.5), rows * down / SIDE - row + wobble
        end = 1.0 + np.sqrt(np.maximum(0.25 - beside**2, 0)) * 1.4
        own = tones[row.astype(int) % down, np.floor(x).astype(int) % across]
        shade = np.clip((end - hang) / 0.12, 0.35, 1)
        tone = np.where(hang < end, own * shade, tone * np.clip(0.45 + (hang - end) / 0.5, 0.45, 1))
        height = np.where(hang < end, 5 * hang, height)
    return lit(smooth(height, 1.0) + 0.7 * noise(g, 3.0, stretch=(3, 1), coarse=60), angle=1.2) * tone


def _straw(g: np.random.Generator) -> Field:
    import cv2

    canvas = np.full((3 * SIDE, 3 * SIDE), 40, np.uint8)
    for _ in range(1200):
        y, x, turn, length = g.uniform(0, SIDE), g.uniform(0, SIDE), g.normal(0.35, 0.28), g.uniform(60, 220)
        shade, width = int(g.uniform(110, 235)), int(g.integers(4, 9))
        dx, dy = int(length * np.sin(turn)), int(length * np.cos(turn))
        for place in range(9):
            a = (int(x) + place % 3 * SIDE, int(y) + place // 3 * SIDE)
            for part in range(width, 0, -2):  # from the dark rim to the bright ridge
                tone = int(shade * (1 - 0.5 * (part / width) ** 2))
                cv2.line(canvas, a, (a[0] + dx, a[1] + dy), tone, part, cv2.LINE_AA)
    middle = canvas[SIDE : 2 * SIDE, SIDE : 2 * SIDE].astype(np.float64) / 255
    return middle + 0.02 * noise(g, 1.4, stretch=(4, 1)) + 0.03 * noise(g, 3.4)


def _crumpled(g: np.random.Generator) -> Field:
    height = np.zeros((SIDE, SIDE))
    for across, depth in ((4, 60.0), (7, 30.0), (13, 11.0)):
        near, second, _ = cells(g, across)
        height += depth * np.minimum(second - near, 0.6) * 0.35 + depth * 0.12 * near
    return lit(smooth(height, 0.9), elevation=0.75) + 0.015 * noise(g, 1.6, coarse=20) + 0.03 * noise(g, 3.0)


def _soil(g: np.random.Generator) -> Field:
    height = 5.0 * noise(g, 4.0)
    for across, depth in ((18, 11.0), (40, 5.0), (90, 2.2)):
        near, _, owner = cells(g, across)
        lump = np.where(g.random(across * across) < 0.5, g.uniform(0.35, 0.7, across * across), 0.01)[owner]
        height += depth * np.sqrt(np.maximum(1 - (near / lump) ** 2, 0))
    return lit(smooth(height, 1.2), elevation=0.75) * (0.45 + 0.55 * unit(height)) * (1 + 0.05 * noise(g, 2.2))


def _plaster(g: np.random.Generator) -> Field:
    stroke = warped(noise(g, 3.2, stretch=(1, 5), coarse=200), 50 * noise(g, 4.4), 50 * noise(g, 4.4))
    return lit(4.5 * np.abs(stroke) + 1.5 * noise(g, 4.0), elevation=1.0) + 0.015 * noise(g, 1.6)


_MATERIALS: dict[str, tuple[Callable[[np.random.Generator], Field], float, float]] = {
    "granite": (_granite, 40, 235),
    "marble": (_marble, 50, 245),
    "wood": (_wood, 50, 215),
    "linen": (_linen, 15, 235),
    "knit": (_knit, 10, 235),
    "concrete": (_concrete, 45, 225),
    "sand": (_sand, 35, 240),
    "leather": (_leather, 10, 200),
    "pebbles": (_pebbles, 5, 245),
    "bark": (_bark, 5, 215),
    "fur": (_fur, 20, 235),
    "rust": (_rust, 20, 220),
    "cork": (_cork, 30, 225),
    "brushed": (_brushed, 50, 240),
    "foam": (_foam, 45, 245),
    "water": (_water, 30, 255),
    "masonry": (_masonry, 15, 225),
    "shingles": (_shingles, 10, 240),
    "straw": (_straw, 10, 250),
    "crumpled": (_crumpled, 60, 250),
    "soil": (_soil, 5, 215),
    "plaster": (_plaster, 70, 245),
}
"""By name: the function, and the greys that its 0.5 and 99.5 percentiles become."""

NAMES = tuple(_MATERIALS)

LENS = 0.7
"""Sigma in pixels of the blur of every material: a camera's optics and sensor blur the sharpest edge as much."""


def make(name: str) -> np.ndarray:
    """The material ``name`` of ``NAMES``: uint8 [512, 512], grey, seamless; always the same."""
    material, dark, bright = _MATERIALS[name]
    grey = unit(smooth(material(generator(0, "sources/materials", NAMES.index(name))), LENS))
    return np.floor(dark + (bright - dark) * grey + 0.5).astype(np.uint8)
