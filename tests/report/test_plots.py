"""Figures: equal bytes, the page's colours, words left as they are."""

import re
from xml.etree import ElementTree

import numpy as np

from pipeline.evaluation.agreement.logistic import LogisticFit
from pipeline.report import plots

STEPS = np.arange(50)
CURVES = [plots.Curve("dead_leaves", STEPS, 6 - STEPS / 20, 0), plots.Curve("other", STEPS, 6 - STEPS / 30, 1)]


def _parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_lines_are_repeatable_themed_and_described():
    made = plots.lines(CURVES, x="step", y="loss", alt='loss of "two"', level=("uniform", 6.24))
    assert made == plots.lines(CURVES, x="step", y="loss", alt='loss of "two"', level=("uniform", 6.24))
    assert _parsed(made).get("aria-label") == 'loss of "two"'
    assert "var(--c0)" in made and "var(--c1)" in made and "#0101" not in made
    assert "dead_leaves" in made and "uniform" in made
    assert not re.search(r"<style|<metadata|font-family", made)


def test_bars_print_their_values_to_three_decimals():
    values = {"a_set": {"trained": 0.610, "floor": 0.204}, "b_set": {"trained": 0.125, "floor": 0.1}}
    made = plots.bars(values, {"trained": 0, "floor": 3}, x="accuracy", alt="bars", level=0.04)
    _parsed(made)
    for text in ("0.610 trained", "0.204 floor", "0.125 trained", "on a set"):
        assert text in made


def test_scatter_draws_every_point_once_and_thins_many():
    draw = np.random.default_rng(0)
    few, many = draw.normal(3, 1, 300), draw.normal(3, 1, 10_125)
    fit = LogisticFit("logistic4", (5.0, 1.0, 3.0, 0.5), 0.9)
    small = plots.scatter(few, few, colour=0, fits=[fit, fit], alt="few")
    assert small.count("<use ") == 300
    large = plots.scatter(many, many, colour=0, fits=[], alt="many")
    assert large.count("<use ") == len(many[:: plots.thinning(len(many))]) <= plots.MOST_POINTS
    assert "fill: var(--c0)" in small


def test_scatter_stands_constant_predictions():
    constant = LogisticFit("constant", (0.0, 2.0, 0.0, 0.0), 0.0)
    _parsed(plots.scatter(np.full(9, 2.0), np.arange(9.0), colour=2, fits=[constant], alt="flat"))
