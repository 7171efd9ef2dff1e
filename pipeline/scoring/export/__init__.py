"""An encoder and a regressor for other programs: as one ONNX file, or as a folder that needs torch and safetensors."""

from pipeline.scoring.export.card import model_card
from pipeline.scoring.export.checks import Difference
from pipeline.scoring.export.folder import write_folder
from pipeline.scoring.export.model import Exportable, ExportError, exportable
from pipeline.scoring.export.onnx_file import write_onnx

__all__ = ["Difference", "ExportError", "Exportable", "exportable", "model_card", "write_folder", "write_onnx"]
