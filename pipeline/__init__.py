"""The nouns of synthetic-iqa: sources, distortions, shards, encoder, training, databases, features, evaluation, report."""
