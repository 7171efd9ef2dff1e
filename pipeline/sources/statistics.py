"""Statistics of natural images: derivatives, spectrum, kurtosis, scale (the paper's Fig. 3).

Luma is Y = .299 R + .587 G + .114 B of the 8-bit sRGB values. Derivatives are Y[x+1] - Y[x] and Y[y+1] - Y[y], pooled,
in 511 unit bins centred on -255..255. State the bin width with a figure: the divergence of plain dead leaves
is 2.0 at unit bins and 1.0 at bins of 5, because of the atom at 0; the order of sets never changed with the bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import images
from pipeline.sources.errors import SourceError

BINS = np.arange(-255, 256)
EPSILON = 1e-6
"""Mass mixed into every bin before a divergence, so that an empty bin does not make it infinite."""

SCALES = (1, 2, 4, 8)
BAND = (0.02, 0.25)
"""Cycles per pixel between which the slope is fitted; 24 logarithmic bins."""

_LOG_BINS = 24


@dataclass(frozen=True)
class Measured:
    """Sums over a set of images; ``figures`` and ``arrays`` read them.

    ``counts`` int64 [511]; ``moments`` float64 [3], of d: number, sum of d^2, sum of d^4; ``scales`` float64 [4, 2],
    number and sum of squares after block means of 1, 2, 4, 8; ``slopes`` float64 [n], one an image; ``spectra``
    float64 [n, 24], natural log of the mean power in each bin (NaN where an image is too small to have any).
    """

    counts: np.ndarray
    moments: np.ndarray
    scales: np.ndarray
    slopes: np.ndarray
    spectra: np.ndarray

    def distribution(self) -> np.ndarray:
        """Float64 [511], sum 1: the histogram of derivatives."""
        return np.asarray(self.counts / self.counts.sum())

    def figures(self) -> dict[str, Any]:
        """Numbers for metrics: images, P(d = 0), std, kurtosis (Gaussian: 3), slope of power and its sd, scale ratios.

        The slope is of power against frequency (-2 is the natural 1 / f amplitude). ``scale_ratio`` is the standard
        deviation of the derivative after block averaging by 1, 2, 4, 8 over that at 1: flat means scale invariant.
        """
        number, square, fourth = self.moments
        deviations = np.sqrt(self.scales[:, 1] / np.maximum(self.scales[:, 0], 1))
        return {
            "images": int(self.slopes.size),
            "p_zero": float(self.distribution()[255]),
            "std": float(np.sqrt(square / number)),
            "kurtosis": float(fourth / number / max((square / number) ** 2, 1e-12)),
            "slope": float(self.slopes.mean()),
            "slope_sd": float(self.slopes.std()),
            "scale_ratio": [float(deviation / max(deviations[0], 1e-12)) for deviation in deviations],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """What a plot needs: ``bins`` and ``density`` of the derivative, ``frequency`` and mean log10 ``power``."""
        return {
            "bins": BINS,
            "density": self.distribution(),
            "frequency": _centres(),
            "power": _mean_of_present(self.spectra) / np.log(10),
        }


def measure(pictures: Iterable[np.ndarray]) -> Measured:
    """Statistics of ``pictures`` (uint8 H x W x 3, sides of at least 32, sizes may differ), one held at a time.

    ``ValueError`` for none or for one that is too small.
    """
    counts, moments, scales = np.zeros(511, np.int64), np.zeros(3), np.zeros((len(SCALES), 2))
    slopes, spectra = [], []
    for image in pictures:
        if min(image.shape[:2]) < 32:
            raise SourceError(f"statistics: {image.shape[1]} x {image.shape[0]} pixels, at least 32 x 32 is needed")
        grey = images.luma(image)
        for derivative in _derivatives(grey):
            counts += np.bincount(np.rint(derivative).astype(np.int64).ravel() + 255, minlength=511)
            square = derivative.astype(np.float64).ravel() ** 2
            moments += np.array([square.size, square.sum(), square @ square])
        for row, factor in enumerate(SCALES):
            for derivative in _derivatives(_blocks(grey, factor)):
                scales[row] += np.array([derivative.size, (derivative.astype(np.float64) ** 2).sum()])
        slope, spectrum = _spectrum(grey)
        slopes.append(slope)
        spectra.append(spectrum)
    if not slopes:
        raise SourceError("statistics: no images")
    return Measured(counts, moments, scales, np.array(slopes), np.array(spectra))


def merge(parts: Iterable[Measured]) -> Measured:
    """The statistics of all images of ``parts``, as if measured together."""
    listed = list(parts)
    sums = [np.sum([getattr(part, name) for part in listed], axis=0) for name in ("counts", "moments", "scales")]
    return Measured(*sums, *(np.concatenate([getattr(p, name) for p in listed]) for name in ("slopes", "spectra")))


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) in nats of two histograms, each normalised and mixed with 1e-6 a bin."""
    first, second = (histogram / histogram.sum() + EPSILON for histogram in (p, q))
    first, second = first / first.sum(), second / second.sum()
    return float((first * np.log(first / second)).sum())


def compare(sets: Mapping[str, Measured], natural: Measured | None = None) -> dict[str, dict[str, Any]]:
    """Figures of each set and, beside ``natural`` photographs, both divergences of its derivatives (nats)."""
    table = {}
    for name, measured in sets.items():
        table[name] = measured.figures()
        if natural is not None:
            table[name]["kl_natural_set"] = divergence(natural.counts, measured.counts)
            table[name]["kl_set_natural"] = divergence(measured.counts, natural.counts)
    return table


def _mean_of_present(spectra: np.ndarray) -> np.ndarray:
    """Mean over images of each bin that an image has; NaN for a bin that none has (small images, low frequencies)."""
    present = np.isfinite(spectra)
    number = present.sum(axis=0)
    return np.where(number, np.where(present, spectra, 0).sum(axis=0) / np.maximum(number, 1), np.nan)


def _derivatives(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return grey[:, 1:] - grey[:, :-1], grey[1:] - grey[:-1]


def _blocks(grey: np.ndarray, factor: int) -> np.ndarray:
    height, width = (side // factor for side in grey.shape)
    cut = grey[: height * factor, : width * factor]
    return np.asarray(cut.reshape(height, factor, width, factor).mean(axis=(1, 3)))


def _edges() -> np.ndarray:
    return np.geomspace(*BAND, _LOG_BINS + 1)


def _centres() -> np.ndarray:
    edges = _edges()
    return np.asarray(np.sqrt(edges[1:] * edges[:-1]))


def _spectrum(grey: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope and log power [24] of the largest central square: mean removed, Hann window, radial averages."""
    side = min(grey.shape)
    top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
    square = grey[top : top + side, left : left + side].astype(np.float64)
    window = np.hanning(side)
    power = np.abs(np.fft.rfft2((square - square.mean()) * window[:, None] * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    index = np.digitize(frequency.ravel(), _edges()) - 1
    kept = (index >= 0) & (index < _LOG_BINS)
    number = np.bincount(index[kept], minlength=_LOG_BINS)
    total = np.bincount(index[kept], power.ravel()[kept], minlength=_LOG_BINS)
    log_power = np.where(number > 0, np.log(np.maximum(total, 1e-12) / np.maximum(number, 1)), np.nan)
    present = np.isfinite(log_power)
    return float(np.polyfit(np.log(_centres()[present]), log_power[present], 1)[0]), log_power
