"""The nouns: sources, distortions, shards, encoder, training, databases, features, evaluation, report."""

from pipeline.errors import Refusal

__all__ = ["Refusal"]
