"""The encoder: the residual trunk, its preprocessing and pooling, its weights on disk and its features."""

from pipeline.encoder.card import CARD, WEIGHTS, feature_fingerprint, provenance, read_card, trained_on
from pipeline.encoder.extractor import Extractor
from pipeline.encoder.stored import StoredEncoder, stored_encoder

__all__ = [
    "CARD",
    "WEIGHTS",
    "Extractor",
    "StoredEncoder",
    "feature_fingerprint",
    "provenance",
    "read_card",
    "stored_encoder",
    "trained_on",
]
