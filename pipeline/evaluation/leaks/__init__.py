"""Leaks that make a figure worthless: pictures on two sides, and what an encoder may know of a database."""

from pipeline.evaluation.leaks.encoder import EncoderCheck, check_encoder
from pipeline.evaluation.leaks.opinions import SeenOpinions, seen_opinions
from pipeline.evaluation.leaks.parts import PartsReport, parts_report, split_table
from pipeline.evaluation.leaks.pictures import LeakError, check_parts, groups_in_common

__all__ = [
    "EncoderCheck",
    "LeakError",
    "PartsReport",
    "SeenOpinions",
    "check_encoder",
    "check_parts",
    "seen_opinions",
    "groups_in_common",
    "parts_report",
    "split_table",
]
