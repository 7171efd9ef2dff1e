"""Splits of the scored images: drawn by group, the database's own, or from a file."""

from pipeline.evaluation.splits.protocols import leave_one_group_out, official_split, random_splits, with_validation
from pipeline.evaluation.splits.split import PARTS, Split, SplitError, checked, listed, shared_groups
from pipeline.evaluation.splits.split_files import imported_splits, read_splits

__all__ = [
    "PARTS",
    "Split",
    "SplitError",
    "checked",
    "imported_splits",
    "leave_one_group_out",
    "listed",
    "official_split",
    "random_splits",
    "read_splits",
    "shared_groups",
    "with_validation",
]
