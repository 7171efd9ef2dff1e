"""The encoder: the residual trunk, its preprocessing and pooling, its weights on disk and its features."""

from pipeline.encoder.card import CARD, WEIGHTS, before, feature_fingerprint, lineage, provenance, read_card, seen_sets
from pipeline.encoder.extractor import Extractor
from pipeline.encoder.stored import StoredEncoder, stored_encoder

__all__ = [
    "CARD",
    "WEIGHTS",
    "Extractor",
    "StoredEncoder",
    "before",
    "feature_fingerprint",
    "lineage",
    "provenance",
    "read_card",
    "seen_sets",
    "stored_encoder",
]
