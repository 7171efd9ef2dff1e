"""An ONNX file: uint8 RGB images of any size in, features and, with a regressor, scores out.

Colour spaces, scales, pooling and the regressor are inside the graph. What the numbers mean is in the file's metadata.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.artifacts import write_bytes
from pipeline.encoder.preprocessing import Preprocessing
from pipeline.encoder.trunk import as_input
from pipeline.scoring.export.checks import Difference, compare
from pipeline.scoring.export.model import Exportable, ExportError

OPSET = 20
ONNX = "model.onnx"
_TRACED = (2, 96, 112, 3)  # the images that the graph is traced with: no two sides are equal


@dataclass(frozen=True)
class TraceablePreprocessing(Preprocessing):
    """The same halves with sides that the tracer can follow: of a pooling that rounds up it takes all sides as even."""

    def scales(self, images: Tensor, count: int) -> list[Tensor]:
        """As :meth:`Preprocessing.scales`: an odd side's last pixels are repeated, so that each has a partner."""
        if self.half != "area":
            return super().scales(images, count)
        scales = [images]
        for _ in range(count - 1):
            images = scales[-1]
            for axis in (2, 3):
                places = torch.arange(2 * ((images.shape[axis] + 1) // 2))
                places = torch.where(places < images.shape[axis], places, places - 1)
                images = images.index_select(axis, places)
            scales.append(F.avg_pool2d(images, 2))
        return scales


class Graph(nn.Module):
    """From images to features and scores, as torch traces it."""

    coef: Tensor
    mean: Tensor

    def __init__(self, model: Exportable) -> None:
        super().__init__()
        self.trunk, self._pool = model.trunk, model.pool
        self._preprocessing = TraceablePreprocessing(**asdict(model.preprocessing))
        fit = None if model.regressor is None else model.regressor.modes["nr"]
        self._scores = fit is not None
        if fit is not None:
            self.register_buffer("coef", torch.from_numpy(np.ascontiguousarray(fit.coef / fit.scale)))
            self.register_buffer("mean", torch.from_numpy(np.ascontiguousarray(fit.mean)))
            self._level = fit.level

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 [n, h, w, 3] -> float32 [n, dim], and float32 [n], computed in float64."""
        features = self._pool.features(self.trunk, self._preprocessing, as_input(image))
        if not self._scores:
            return (features,)
        return features, (((features.double() - self.mean) @ self.coef) + self._level).float()


def write_onnx(model: Exportable, out: Path) -> Difference:
    """Write ``model.onnx`` into the folder ``out``, after it was run by onnxruntime beside ours.

    :class:`ExportError` where it differs by more than 1e-4, and for what ONNX can't express: nothing is written then.
    """
    names = ["features", "score"] if model.regressor is not None else ["features"]
    data = _with_metadata(_traced(model, names), model)
    difference = compare(model, runner(data), f"{out / ONNX}")
    write_bytes(out / ONNX, data)
    return difference


def runner(data: bytes) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]:
    """The file's content in onnxruntime on one thread of a CPU: images -> features, and scores or None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        outputs = session.run(None, {"image": pictures})
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    return run


def _traced(model: Exportable, names: list[str]) -> bytes:
    graph, image = Graph(model).eval(), torch.zeros(_TRACED, dtype=torch.uint8)
    sides = {number: torch.export.Dim(name, min=2) for number, name in enumerate(("batch", "height", "width"))}
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        graph(image)  # constants of the colour spaces exist before the tracer makes tensors of its own kind
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                graph, (image,), input_names=["image"], output_names=names, dynamic_shapes={"image": sides},
                opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
            )  # fmt: skip
        except ModuleNotFoundError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ExportError(f"{model.card['name']}: ONNX can't express it ({reason}); --to folder can") from None
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def _with_metadata(data: bytes, model: Exportable) -> bytes:
    """``data`` with the model's description, a value a key: JSON where it is no text."""
    import onnx

    proto = onnx.load_model_from_string(data)
    proto.producer_name, proto.doc_string = "synthetic-iqa", "image: uint8 [n, height, width, 3], RGB, upright, sRGB"
    config = model.config()
    regressor = config.pop("regressor", {})
    assert isinstance(regressor, dict)
    described = {**config, **{key: value for key, value in regressor.items() if key != "levels"}}
    del proto.metadata_props[:]
    for key, value in sorted(described.items()):
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        proto.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))
