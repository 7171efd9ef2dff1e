"""KADIS-700k's 25 types x 5 levels as functions of an image: see docs/distortions.md."""

from pipeline.distortions.bank import (
    FORMAT,
    Sample,
    apply,
    compile_kernels,
    compose,
    describe,
    distort,
    distort_all,
    draw,
    fingerprint_parts,
    pristine,
)
from pipeline.distortions.composites import Recipe, recipes
from pipeline.distortions.dncnn import DnCNN
from pipeline.distortions.manifest import TYPES, Type, type_of
from pipeline.distortions.prepared import DistortionError, Prepared

__all__ = [
    "FORMAT",
    "TYPES",
    "DistortionError",
    "DnCNN",
    "Prepared",
    "Recipe",
    "Sample",
    "Type",
    "apply",
    "compile_kernels",
    "compose",
    "describe",
    "distort",
    "distort_all",
    "draw",
    "fingerprint_parts",
    "pristine",
    "recipes",
    "type_of",
]
