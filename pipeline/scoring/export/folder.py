"""A folder in the layout of model hubs: weights, config.json, a model card, and code that needs torch and safetensors
alone.

``modelling.py`` is the network and the loader; what happens before and after the network is this project's own code,
copied: colour spaces, scales and pooling.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from safetensors.torch import load, save

from pipeline.artifacts import write_bytes, write_json
from pipeline.encoder.card import read_weights
from pipeline.images import LUMA
from pipeline.scoring.export.checks import Difference, compare
from pipeline.scoring.export.model import Exportable

WEIGHTS, CONFIG, CODE = "model.safetensors", "config.json", "modelling.py"
COPIED = ("colour", "preprocessing", "pooling")  # modules of pipeline.encoder that need torch alone
PACKAGE = "synthetic_iqa"
_LUMA_IMPORT = "from pipeline.images import LUMA\n"


def write_folder(model: Exportable, out: Path) -> Difference:
    """Write the model into the folder ``out``, after it was run by its own code beside ours, in a temporary folder.

    :class:`ExportError` where it differs by more than 1e-4: what ``out`` held stays then. config.json is written last,
    so that a folder with one is whole.
    """
    with tempfile.TemporaryDirectory() as checked:
        _write(model, Path(checked))
        difference = compare(model, runner(Path(checked)), str(out))
    _write(model, out)
    return difference


def _write(model: Exportable, out: Path) -> None:
    (out / CONFIG).unlink(missing_ok=True)
    for name, text in code().items():
        write_bytes(out / name, text.encode())
    write_bytes(out / WEIGHTS, _tensors(model))
    write_json(out / CONFIG, model.config())


def code() -> dict[str, str]:
    """The folder's Python files, path -> text."""
    encoder = Path(__file__).parents[2] / "encoder"
    texts = {f"{PACKAGE}/{name}.py": (encoder / f"{name}.py").read_text(encoding="utf-8") for name in COPIED}
    texts[f"{PACKAGE}/colour.py"] = texts[f"{PACKAGE}/colour.py"].replace(_LUMA_IMPORT, f"LUMA = {tuple(LUMA)!r}\n")
    texts = {name: text.replace("pipeline.encoder", PACKAGE) for name, text in texts.items()}
    texts[f"{PACKAGE}/__init__.py"] = '"""How images are shown to the network, and what is read out of it."""\n'
    return {CODE: (Path(__file__).parent / CODE).read_text(encoding="utf-8"), **texts}


def _tensors(model: Exportable) -> bytes:
    """The trunk's tensors as they are stored, and the regressors' in float64."""
    tensors = load(read_weights(model.folder, model.card))
    if model.regressor is not None:
        for mode, fit in model.regressor.modes.items():
            parts = {"coef": fit.coef, "mean": fit.mean, "scale": fit.scale}
            tensors |= {
                f"regressor.{mode}.{part}": torch.from_numpy(np.ascontiguousarray(values, np.float64))
                for part, values in parts.items()
            }
    return save(dict(sorted(tensors.items())), {"format": "pt"})


def runner(out: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]:
    """The folder's own code, imported from there: images -> features, and scores or None."""
    model = _imported(out).Model()

    def run(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        with torch.inference_mode():
            images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
            scores = model.scores(images).numpy() if "regressor" in model.config else None
            return model.features(images).numpy(), scores

    return run


def _imported(out: Path) -> ModuleType:
    """``modelling.py`` of a folder; its package does not stay in ``sys.modules``, where another folder's may be."""
    spec = importlib.util.spec_from_file_location("modelling", out / CODE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept = {name: sys.modules.pop(name) for name in _package_modules()}
    sys.path.insert(0, str(out))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(out))
        for name in _package_modules():
            del sys.modules[name]
        sys.modules.update(kept)
    return module


def _package_modules() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] == PACKAGE]
