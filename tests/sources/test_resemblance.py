"""The bars of resemblance on real photographs and Brodatz's textures, where the folder in IQA_DATA has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.natural_statistics import table

NAMES = ["plain", "textured, given textures", "textured, embedded"]


@pytest.mark.slow
def test_textured_leaves_resemble_photographs_ten_times_more_than_plain_ones() -> None:
    """100 images of each set, 512 x 512, unit bins: 0.12 and a tenth of plain's with Brodatz, 0.08 with our own."""
    if "IQA_DATA" not in os.environ:
        pytest.skip("IQA_DATA is not set: no photographs to compare with")
    data = Path(os.environ["IQA_DATA"])
    if not (data / "bsds500").is_dir() or not (data / "brodatz").is_dir():
        pytest.skip("IQA_DATA has no bsds500 or no brodatz")
    figures = table(data / "bsds500", data / "brodatz", 100, NAMES)
    plain, given, embedded = (figures[name] for name in NAMES)
    assert figures["photographs, others"]["kl_natural_set"] < 0.005
    assert given["kl_natural_set"] <= 0.12 and given["kl_natural_set"] <= plain["kl_natural_set"] / 10
    assert embedded["kl_natural_set"] <= 0.08
    for row in (given, embedded):
        assert -2.4 <= row["slope"] <= -1.6 and row["kurtosis"] > 6
