"""The encoder: the residual trunk, its preprocessing and pooling, its weights on disk and its features."""

from pipeline.encoder.card import CARD, WEIGHTS, feature_fingerprint, read_card
from pipeline.encoder.extractor import Extractor

__all__ = ["CARD", "WEIGHTS", "Extractor", "feature_fingerprint", "read_card"]
