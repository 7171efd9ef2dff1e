"""Dead leaves in plain numpy, written for reading, and their closed laws: what the tests hold the kernels against."""

from __future__ import annotations

import numpy as np

from pipeline.sources.dead_leaves import leaf_shapes
from pipeline.sources.dead_leaves.geometry import BATCH, words_of
from pipeline.sources.dead_leaves.leaf import FIXED, LEAF, Geometry, Shape
from pipeline.sources.dead_leaves.radius_law import HittingLaw, power_integral


def _radii(u: np.ndarray, row: np.ndarray) -> np.ndarray:
    first, kind, low, slope, power = row
    v = u - first
    if kind == 0:
        return np.full(u.shape, low)
    if kind == 1:
        return np.asarray(low * np.exp(slope * v))
    value = low - slope * v
    return np.asarray(1.0 / np.sqrt(value) if power == -0.5 else value**power)


def draw(raw: np.ndarray, law: HittingLaw) -> np.ndarray:
    """Int64 [n, 3]: x, y, r in 1/65,536 pixel of the leaves that ``raw`` (uint64 [2 n]) stands for."""
    table, height, width = law.table(), law.height, law.width
    u = (raw[0::2] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    high, low = (raw[1::2] >> np.uint64(32)).astype(np.int64), (raw[1::2] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    part = (u >= table[1, 0]).astype(int) + (u >= table[2, 0])
    fixed = np.empty((u.size, 3), np.int64)
    for p in range(3):
        at = part == p
        radius = _radii(u[at], table[p])
        a, b = high[at] * 2.0**-32, low[at] * 2.0**-32
        if p == 0:
            fixed[at, 0], fixed[at, 1] = (high[at] * width) >> 16, (low[at] * height) >> 16
        else:
            x, y = _strips(a, b * radius, height, width) if p == 1 else _corners(a, radius * np.sqrt(b), height, width)
            fixed[at, 0], fixed[at, 1] = np.floor(x * FIXED + 0.5), np.floor(y * FIXED + 0.5)
        fixed[at, 2] = np.floor(radius * FIXED + 0.5)
    return fixed


def _strips(along: np.ndarray, depth: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    place = along * (2.0 * (height + width))
    sides = [place < width, place < 2 * width, place < 2 * width + height]
    x = np.select(sides, [place, place - width, -depth], width + depth)
    y = np.select(sides, [-depth, height + depth, place - 2.0 * width], place - 2.0 * width - height)
    return x, y


def _corners(turn: np.ndarray, reach: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = reach * np.cos(2 * np.pi * turn), reach * np.sin(2 * np.pi * turn)
    return np.where(x >= 0, x + width, x), np.where(y >= 0, y + height, y)


def _contains(dy: np.ndarray, dx: np.ndarray, r: int, form: np.ndarray | None) -> np.ndarray:
    if form is None:
        return np.asarray(dy * dy + dx * dx <= r * r)
    y, x = dy.astype(np.float64), dx.astype(np.float64)
    if form[0] == 0:
        along, across = x * form[1] + y * form[2], y * form[1] - x * form[2]
        return np.asarray((along * form[3]) ** 2 + across**2 <= (r * form[3]) ** 2)
    edges = form[1:].reshape(-1, 3)[: int(form[0])]
    return np.asarray(np.all([x * a + y * b <= r * distance for a, b, distance in edges], axis=0))


def _table(rows: np.ndarray) -> np.ndarray:
    table = np.empty(len(rows), LEAF)
    for column, name in enumerate(("x", "y", "r")):
        table[name] = rows[:, column] / FIXED
    table["rank"] = rows[:, 3]
    return table


def geometry(generator: np.random.Generator, law: HittingLaw, shape: Shape = "disc") -> Geometry:
    """Equal to ``dead_leaves.geometry.geometry``, one leaf and one bounding box at a time (a second at 512 x 512)."""
    height, width = law.height, law.width
    labels = np.full((height, width), -1, np.int32)
    centre_y, centre_x = np.arange(height) * FIXED + FIXED // 2, np.arange(width) * FIXED + FIXED // 2
    rows: list[list[int]] = []
    remaining, drawn, shaping = height * width, 0, None if shape == "disc" else generator.spawn(1)[0]
    while remaining:
        leaves = draw(words_of(generator, BATCH), law)
        form = [None] * BATCH if shaping is None else leaf_shapes.draw(shaping, BATCH, shape)
        for (x, y, r), own in zip(leaves, form, strict=True):
            if not remaining:
                break
            top, bottom = np.searchsorted(centre_y, [y - r, y + r + 1])
            left, right = np.searchsorted(centre_x, [x - r, x + r + 1])
            box = labels[top:bottom, left:right]
            dy, dx = centre_y[top:bottom, None] - y, centre_x[None, left:right] - x
            mine = _contains(dy, dx, r, own) & (box < 0)
            if mine.any():
                box[mine] = len(rows)
                rows.append([x, y, r, drawn])
                remaining -= int(mine.sum())
            drawn += 1
    return Geometry(labels, _table(np.array(rows, np.int64)))


def visible_radius_cdf(radius: np.ndarray, r_min: float, r_max: float, exponent: float = 3.0) -> np.ndarray:
    """P(R < radius) of the leaf seen at any fixed pixel, borders and corners included: density ~ r^(2 - exponent).

    Log-uniform at exponent 3: ln(radius / r_min) / ln(r_max / r_min).
    """
    total = power_integral(r_min, r_max, exponent - 2)
    part = np.array([power_integral(r_min, float(r), exponent - 2) if r > r_min else 0.0 for r in np.ravel(radius)])
    return np.clip(part / total, 0, 1).reshape(np.shape(radius))


def same_leaf_probability(distance: float, r_min: float, r_max: float, exponent: float = 3.0) -> float:
    """Probability that two points ``distance`` pixels apart show the same leaf: g(d) / (2 g(0) - g(d)).

    g(d) is the integral of r^-exponent times the area of the lens that two discs of radius r at that distance share.
    """
    # one radius: a range too narrow to matter stands in for it
    radius = np.exp(np.linspace(np.log(r_min), np.log(max(r_max, r_min * (1 + 1e-9))), 200_001))

    def overlap(d: float) -> float:
        ratio = np.clip(d / (2 * radius), 0, 1)
        lens = 2 * radius**2 * np.arccos(ratio) - d / 2 * np.sqrt(np.clip(4 * radius**2 - d * d, 0, None))
        return float(np.trapezoid(lens * radius ** (1 - exponent), np.log(radius)))

    return overlap(distance) / (2 * overlap(0.0) - overlap(distance))
