"""The statistics against images whose derivatives, spectra and kurtosis are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.sources import statistics, statistics_figure
from pipeline.sources.photographs import photos
from tests.sources.fixtures import leaves


def _grey(field: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(np.rint(field), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_derivatives_are_pooled_over_both_directions_in_unit_bins() -> None:
    ramp = _grey(np.add.outer(np.arange(40) * 3, np.arange(50)))
    measured = statistics.measure([ramp])
    assert measured.counts[255 + 1] == 40 * 49 and measured.counts[255 + 3] == 39 * 50
    assert measured.counts.sum() == 40 * 49 + 39 * 50
    figures = measured.figures()
    assert figures["std"] == pytest.approx(np.sqrt((1960 + 9 * 1950) / 3910), rel=1e-6)
    assert figures["p_zero"] == 0


def test_gaussian_derivatives_have_kurtosis_three() -> None:
    noise = _grey(np.random.default_rng(0).normal(128, 12, (400, 400)))
    figures = statistics.measure([noise]).figures()
    assert figures["kurtosis"] == pytest.approx(3, abs=0.1)
    assert figures["slope"] == pytest.approx(0, abs=0.05)
    assert figures["scale_ratio"][:2] == pytest.approx([1, 0.5], abs=0.02)


@pytest.mark.parametrize("slope", [-1.0, -2.0, -3.0])
def test_slope_is_of_power(slope: float) -> None:
    side = 512
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    spectrum = np.fft.rfft2(np.random.default_rng(1).normal(size=(side, side)))
    spectrum *= np.where(frequency > 0, np.maximum(frequency, 1e-9) ** (slope / 2), 0)
    field = np.fft.irfft2(spectrum)
    figures = statistics.measure([_grey(128 + 40 * field / field.std())]).figures()
    assert figures["slope"] == pytest.approx(slope, abs=0.12)


def test_divergence_is_zero_for_equals_and_finite_for_strangers() -> None:
    p, q = np.zeros(511), np.zeros(511)
    p[255], q[250] = 10, 3
    assert statistics.divergence(p, 7 * p) == pytest.approx(0, abs=1e-12)
    assert 10 < statistics.divergence(p, q) < 14
    half = p.copy()
    half[250] = 10
    assert statistics.divergence(p, half) == pytest.approx(np.log(2), abs=1e-3)


def test_merged_parts_equal_one_go_and_figures_are_json() -> None:
    drawn = leaves("dead_leaves", size=(64, 80))
    pictures = [drawn.make(index)[0] for index in range(4)]
    whole = statistics.measure(pictures)
    merged = statistics.merge([statistics.measure(pictures[:1]), statistics.measure(pictures[1:])])
    assert np.array_equal(whole.counts, merged.counts) and np.array_equal(whole.spectra, merged.spectra, equal_nan=True)
    table = statistics.compare({"whole": whole, "merged": merged}, natural=whole)
    assert table["merged"]["kl_natural_set"] == 0 and table["whole"]["images"] == 4
    assert json.loads(json.dumps(table)) == table


def test_textures_bring_dead_leaves_nearer_to_photographs() -> None:
    """The packaged photographs stand in for natural ones: the paper's Fig. 3 in small."""
    pictures = photos()
    natural = statistics.measure(pictures.make(index)[0] for index in range(pictures.count))
    sets = {}
    for name in ("dead_leaves", "textured_dead_leaves"):
        drawn = leaves(name, seed=0, count=6, size=(192, 192))
        sets[name] = statistics.measure(drawn.make(index)[0] for index in range(drawn.count))
    table = statistics.compare(sets, natural)
    assert table["textured_dead_leaves"]["kl_natural_set"] < 0.2 * table["dead_leaves"]["kl_natural_set"]
    for figures in table.values():
        assert -2.8 < figures["slope"] < -1.4 and figures["kurtosis"] > 6


def test_the_figure_shows_every_set_with_its_divergence() -> None:
    drawn = leaves("dead_leaves", count=2, size=(64, 64))
    measured = statistics.measure(drawn.make(index)[0] for index in range(2))
    figure = statistics_figure.figure({"dead_leaves": measured}, measured)
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["dead leaves, KL 0.000", "photographs"]
    assert len(right.lines) == 2 and np.nanmax(right.lines[0].get_ydata()) == 0
    assert len(statistics_figure.figure({"dead_leaves": measured}).axes[0].lines) == 1
    first, second = (statistics_figure.svg({"dead_leaves": measured}, measured) for _ in range(2))
    assert first == second and b"<svg" in first


def test_nothing_and_too_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        statistics.measure([])
    with pytest.raises(ValueError, match="at least 32 x 32"):
        statistics.measure([np.zeros((31, 90, 3), np.uint8)])
