"""KADIS-700k's 25 types x 5 levels as functions of an image: see docs/distortions.md."""

from pipeline.distortions.bank import (
    FORMAT,
    LEVELS,
    TYPES,
    Sample,
    apply,
    compile_kernels,
    describe,
    distort,
    distort_all,
    draw,
    identity,
    label,
    pristine,
)
from pipeline.distortions.dncnn import DnCNN
from pipeline.distortions.prepared import DistortionError, Prepared
from pipeline.distortions.table import LABELS, Type, split_label, type_of

__all__ = [
    "FORMAT",
    "LABELS",
    "LEVELS",
    "TYPES",
    "DistortionError",
    "DnCNN",
    "Prepared",
    "Sample",
    "Type",
    "apply",
    "compile_kernels",
    "describe",
    "distort",
    "distort_all",
    "draw",
    "identity",
    "label",
    "pristine",
    "split_label",
    "type_of",
]
