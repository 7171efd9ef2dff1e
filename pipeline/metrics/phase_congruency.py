"""Phase congruency (Kovesi 1999), as FSIM uses it: four scales and four orientations of log-Gabor filters."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

_SCALES, _ORIENTATIONS = 4, 4
_SHORTEST, _STEP = 6, 2  # wavelength of the finest filter in pixels, and the ratio to the next
_BANDWIDTH = 0.55  # sigma of the log-Gabor over its centre frequency
_SPREAD = np.pi / _ORIENTATIONS / 1.2  # sigma of the angular Gaussian
_DEVIATIONS, _RESCUE = 2.0, 1.7  # the noise threshold lies 2 deviations above the mean, and is then divided by 1.7
_TINY = 1e-4


def phase_congruency(plane: np.ndarray) -> np.ndarray:
    """float64 H x W in grey levels -> float64 H x W in [0, 1]."""
    filters, energies = _filters(plane.shape)
    spectrum = fft.fft2(plane)
    energy, amplitude = np.zeros(plane.shape), np.zeros(plane.shape)
    for bank, noise in zip(filters, energies, strict=True):
        responses = fft.ifft2(spectrum * bank)
        sizes = np.abs(responses)
        total = responses.sum(axis=0)
        direction = total / (np.abs(total) + _TINY)
        turned = responses * direction.conj()  # real: along the mean phase, imaginary: across
        along = (turned.real - np.abs(turned.imag)).sum(axis=0)
        energy += np.maximum(along - _threshold(sizes[0], noise), 0)
        amplitude += sizes.sum(axis=0)
    return np.divide(energy, amplitude, out=np.zeros(plane.shape), where=amplitude > 0)


def _threshold(finest: np.ndarray, noise: float) -> float:
    """The energy that noise alone would have (Rayleigh's law), from the median response of the finest filter."""
    power = float(np.median(finest * finest)) / np.log(2)
    tau = np.sqrt(power * noise)
    return float((tau * np.sqrt(np.pi / 2) + _DEVIATIONS * tau * np.sqrt(2 - np.pi / 2)) / _RESCUE)


@lru_cache(maxsize=2)
def _filters(shape: tuple[int, int]) -> tuple[np.ndarray, tuple[float, ...]]:
    """Filters float64 [orientation, scale, H, W] in the FFT's order; and of each orientation the energy of the summed
    filters' even parts over that of the finest filter, by which the power of the noise is multiplied.
    """
    x, y = np.meshgrid(_frequencies(shape[1]), _frequencies(shape[0]))
    radius, angle = np.hypot(x, y), np.arctan2(-y, x)
    lowpass = 1 / (1 + (radius / 0.45) ** 30)
    radius[0, 0] = 1
    radial = []
    for scale in range(_SCALES):
        ratio = np.log(radius * _SHORTEST * _STEP**scale)
        radial.append(np.exp(-(ratio**2) / (2 * np.log(_BANDWIDTH) ** 2)) * lowpass)
        radial[-1][0, 0] = 0
    filters = np.empty((_ORIENTATIONS, _SCALES, *shape))
    for orientation in range(_ORIENTATIONS):
        apart = np.abs(np.angle(np.exp(1j * (angle - orientation * np.pi / _ORIENTATIONS))))
        filters[orientation] = np.stack(radial) * np.exp(-(apart**2) / (2 * _SPREAD**2))
    summed = fft.ifft2(filters.sum(axis=1)).real ** 2
    finest = np.maximum((filters[:, 0] ** 2).sum(axis=(1, 2)), np.finfo(float).tiny)  # nothing passes in one pixel
    energies = summed.sum(axis=(1, 2)) * shape[0] * shape[1] / finest
    return filters, tuple(float(energy) for energy in energies)


def _frequencies(count: int) -> np.ndarray:
    """Cycles a pixel in the FFT's order; an odd count is divided by one less, as the authors' code has it."""
    steps = np.arange(count) - count // 2
    return np.asarray(fft.ifftshift(steps / max(1, count - count % 2)))
