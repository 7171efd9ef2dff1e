"""sRGB and CIE Lab (D65) in compiled float32 loops, planes in and out; fused with what the distortions do in between.

Constants: the sRGB primaries' matrix to six digits, white (0.95047, 1, 1.08883), thresholds 0.008856 and 0.04045.
XYZ is not clipped on the way back (a library that clips negative Z is wrong by up to 144
levels). The cube root and the sRGB curve are polynomials in the fourth root (two square roots, error 1.1e-7 and
1.5e-7): 0.6 ms for 512 x 512 where a library's float64 route takes 40.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.distortions.kernels import compiled, part
from pipeline.distortions.types import Bytes, Floats

CHUNK = 1024
"""Pixels of one pass through the L1: five float32 rows are 20 kB."""

TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
"""Linear sRGB to XYZ, both with white at Y = 1 (IEC 61966-2-1 primaries, D65)."""

WHITE = np.array([0.95047, 1.0, 1.08883])
"""XYZ of the white that Lab is relative to."""

_FORWARD = tuple(np.float32(v) for v in (TO_XYZ / WHITE[:, None]).ravel())
_BACK = tuple(np.float32(v) for v in (np.linalg.inv(TO_XYZ) * WHITE).ravel())
_C0, _C1, _C2 = np.uint64(0), np.uint64(CHUNK), np.uint64(2 * CHUNK)
_LOW, _HIGH = np.uint64(3 * CHUNK), np.uint64(4 * CHUNK)


@part
def cube_root(t: Any) -> Any:
    """Lab's f(t) for t >= 0: t^(1/3) above 0.008856, else the straight line."""
    u = np.sqrt(np.sqrt(t)) - np.float32(0.66)
    p = np.float32(0.07705936580896378) * u - np.float32(0.06955644111102417)
    p = p * u + np.float32(0.04379270598292351)
    p = p * u - np.float32(0.047965604811906815)
    p = p * u + np.float32(0.06241929531097412)
    p = p * u - np.float32(0.09879343211650848)
    p = p * u + np.float32(0.29315006732940674)
    p = p * u + np.float32(1.1608792543411255)
    p = p * u + np.float32(0.5746347904205322)
    return p if t > np.float32(0.008856) else np.float32(7.787) * t + np.float32(16.0 / 116.0)


@part
def gamma(v: Any) -> Any:
    """The sRGB curve of linear v, clipped to [0, 1] before and so after."""
    v = v if v > np.float32(0.0) else np.float32(0.0)
    v = v if v < np.float32(1.0) else np.float32(1.0)
    u = np.sqrt(np.sqrt(v)) - np.float32(0.61825)
    p = np.float32(0.08094782382249832) * u - np.float32(0.0717259868979454)
    p = p * u + np.float32(0.04128184914588928)
    p = p * u - np.float32(0.04709916561841965)
    p = p * u + np.float32(0.06683260202407837)
    p = p * u - np.float32(0.12378405779600143)
    p = p * u + np.float32(0.688003659248352)
    p = p * u + np.float32(1.276079773902893)
    p = p * u + np.float32(0.41836121678352356)
    p = p if p < np.float32(1.0) else np.float32(1.0)
    return p if v > np.float32(0.0031308) else np.float32(12.92) * v


@part
def cube(f: Any) -> Any:
    """The inverse of ``cube_root``, negative for small f: not clipped."""
    return f * f * f if f > np.float32(0.20689655) else (f - np.float32(16.0 / 116.0)) * np.float32(1.0 / 7.787)


@compiled
def rgb_to_lab(planes: Bytes, linear: Floats, lab: Floats) -> None:
    """Planes (3, H, W) of bytes to Lab planes (3, H, W) float32;
    ``linear`` is the linear light of each of 256 levels.
    """
    r, g, b = planes[0].reshape(-1), planes[1].reshape(-1), planes[2].reshape(-1)
    light, a_star, b_star = lab[0].reshape(-1), lab[1].reshape(-1), lab[2].reshape(-1)
    t = np.empty(3 * CHUNK, np.float32)
    for start in range(0, r.size, CHUNK):
        count = np.uint64(min(CHUNK, r.size - start))
        s = np.uint64(start)
        for i in range(count):
            t[_C0 + i] = linear[r[s + i]]
            t[_C1 + i] = linear[g[s + i]]
            t[_C2 + i] = linear[b[s + i]]
        for i in range(count):
            red, green, blue = t[_C0 + i], t[_C1 + i], t[_C2 + i]
            t[_C0 + i] = cube_root(_FORWARD[0] * red + _FORWARD[1] * green + _FORWARD[2] * blue)
            t[_C1 + i] = cube_root(_FORWARD[3] * red + _FORWARD[4] * green + _FORWARD[5] * blue)
            t[_C2 + i] = cube_root(_FORWARD[6] * red + _FORWARD[7] * green + _FORWARD[8] * blue)
        for i in range(count):
            light[s + i] = np.float32(116.0) * t[_C1 + i] - np.float32(16.0)
        for i in range(count):
            a_star[s + i] = np.float32(500.0) * (t[_C0 + i] - t[_C1 + i])
            b_star[s + i] = np.float32(200.0) * (t[_C1 + i] - t[_C2 + i])


@part
def bend(unit: Any, how: Any) -> Any:
    """The parabola how[3] x^2 + how[4] x, clipped to [0, 1]."""
    value = (how[3] * unit + how[4]) * unit
    value = value if value > np.float32(0.0) else np.float32(0.0)
    return value if value < np.float32(1.0) else np.float32(1.0)


@part
def _linear_chunk(light: Any, smooth: Any, a_star: Any, b_star: Any, s: Any, count: Any, how: Any, t: Any) -> None:
    """Linear RGB of one chunk into ``t``, from Lab changed as ``how`` says."""
    amount, chroma = how[0], how[1]
    for i in range(count):
        value = light[s + i]
        t[_C0 + i] = value + amount * (value - smooth[s + i])
    if how[2] != 0:
        for i in range(count):
            t[_C0 + i] = np.float32(100.0) * bend(t[_C0 + i] * np.float32(0.01), how)
    for i in range(count):
        fy = (t[_C0 + i] + np.float32(16.0)) * np.float32(1.0 / 116.0)
        x = cube(fy + chroma * a_star[s + i] * np.float32(0.002))
        y = cube(fy)
        z = cube(fy - chroma * b_star[s + i] * np.float32(0.005))
        t[_C0 + i] = _BACK[0] * x + _BACK[1] * y + _BACK[2] * z
        t[_C1 + i] = _BACK[3] * x + _BACK[4] * y + _BACK[5] * z
        t[_C2 + i] = _BACK[6] * x + _BACK[7] * y + _BACK[8] * z


@compiled
def lab_to_rgb(
    planes: Any, light: Any, smooth: Any, a_star: Any, b_star: Any, how: Any, low: Any, scale: Any, out: Any
) -> Any:
    """Lab planes to planes (3, H, W) of bytes, floor((v - low) * scale + 0.5); returns the least and greatest v in [0,
    1].

    ``light`` is L and ``smooth`` its blurred self, ``a_star`` and ``b_star`` the colour planes (H, W), ``planes`` the
    source bytes. ``how`` (float32[7]) = [0] amount of (L - smooth) added to L; [1] factor of a and b; [2] share of the
    source bytes' own parabola in the result (not 0: L goes through the parabola as well); [3] and [4] the parabola's
    coefficients of the square and of the value; [5] and [6] the source's lowest byte and 1 / its range.
    """
    lit, m = light.reshape(-1), smooth.reshape(-1)
    a_flat, b_flat, flat, bytes_in = a_star.reshape(-1), b_star.reshape(-1), out.reshape(-1), planes.reshape(-1)
    t = np.zeros(5 * CHUNK, np.float32)
    t[3 * CHUNK : 4 * CHUNK] = np.float32(2.0)
    t[4 * CHUNK :] = np.float32(-1.0)
    share, rest, first, unit = how[2], np.float32(1.0) - how[2], how[5], how[6]
    for start in range(0, lit.size, CHUNK):
        count = np.uint64(min(CHUNK, lit.size - start))
        _linear_chunk(lit, m, a_flat, b_flat, np.uint64(start), count, how, t)
        for i in range(np.uint64(3 * CHUNK)):
            t[i] = gamma(t[i])
        for channel in range(3):
            c = np.uint64(channel * CHUNK)
            s = np.uint64(channel * lit.size + start)
            if share != 0:
                for i in range(count):
                    t[c + i] = rest * t[c + i] + share * bend((np.float32(bytes_in[s + i]) - first) * unit, how)
            for i in range(count):
                value = t[c + i]
                t[_LOW + i] = value if value < t[_LOW + i] else t[_LOW + i]
                t[_HIGH + i] = value if value > t[_HIGH + i] else t[_HIGH + i]
            for i in range(count):
                flat[s + i] = np.uint8(np.int32((t[c + i] - low) * scale + np.float32(0.5)))
    return t[3 * CHUNK : 4 * CHUNK].min(), t[4 * CHUNK :].max()


def linear_light(stretched: Floats) -> Floats:
    """Linear light (float32[256]) of sRGB values in [0, 1]."""
    values = np.asarray(stretched, np.float64)
    return np.where(values > 0.04045, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4, values / 12.92).astype(
        np.float32
    )
