"""docs/other-libraries.md: its examples run, on an exported folder and an ONNX file of the released encoder."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.scoring import load_regressor
from pipeline.scoring.export import checks, exportable, write_folder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "other-libraries.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with the released encoder in the folder ``exported``."""
    monkeypatch.setattr(checks, "SIZES", "64x64")
    regressor = load_regressor(next((ROOT / "released" / "regressors").iterdir()))
    write_folder(exportable(ROOT / "released", regressor), tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("modelling", "synthetic_iqa")]:
        del sys.modules[name]


class Registry(dict[str, type]):
    """pyiqa's ARCH_REGISTRY, as far as a plugin uses it."""

    def register(self, kind: type) -> None:
        self[kind.__name__] = kind


def stand_in(monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, dict[str, Any]]:
    """pyiqa's two modules that its plugins import (pyiqa itself is not installed)."""
    registry, defaults = Registry(), dict[str, Any]()
    contents = {
        "pyiqa": {},
        "pyiqa.utils": {},
        "pyiqa.utils.registry": {"ARCH_REGISTRY": registry},
        "pyiqa.default_model_configs": {"DEFAULT_CONFIGS": defaults},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return registry, defaults


def test_the_examples_of_pytorch_run(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    for example in EXAMPLES[:3]:
        exec(example, names)
    metric = names["metric"]
    regressor = load_regressor(next((ROOT / "released" / "regressors").iterdir()))
    assert metric.score_range == tuple(regressor.card["range"])
    assert metric.lower_better is not regressor.card["higher_is_better"]
    pixels = checks.drawn_picture(np.random.default_rng(1), 90, 131)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    ours = regressor.modes["nr"].predict(exportable(ROOT / "released", regressor).extractor.extract([pixels]))
    assert float(metric(x)[0]) == pytest.approx(float(ours[0]), abs=1e-4)
    if "fr" not in regressor.modes:
        with pytest.raises(ValueError, match="no mode fr"):
            metric(x, x)
    assert float(names["mean"].compute()) == pytest.approx(names["mean"].total / 4)

    registry, defaults = stand_in(monkeypatch)
    names["register"]()
    names["register"]()
    options = defaults["synthetic_iqa"]["metric_opts"]
    built = registry[options.pop("type")](**options)
    assert float(built(x)[0]) == float(metric(x)[0])
    assert defaults["synthetic_iqa"]["lower_better"] is metric.lower_better


def test_a_plugin_is_declared_as_pyiqa_reads_it() -> None:
    import tomllib

    [toml] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert tomllib.loads(toml)["project"]["entry-points"] == {"pyiqa.archs": {"synthetic_iqa": "my_metrics:register"}}
    assert "def register():" in EXAMPLES[2]


@pytest.mark.slow
def test_the_example_of_onnxruntime_runs(released: Path) -> None:
    from pipeline.scoring.export import write_onnx

    shutil.rmtree(released / "exported")
    regressor = load_regressor(next((ROOT / "released" / "regressors").iterdir()))
    write_onnx(exportable(ROOT / "released", regressor), released / "exported")
    names: dict[str, Any] = {}
    exec(EXAMPLES[3], names)
    assert names["score"].shape == (1,) and names["meaning"]["database"] == regressor.card["database"]
