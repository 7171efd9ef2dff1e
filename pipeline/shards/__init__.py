"""WebDataset shards with sample tables: where each sample goes, writing them, reading them back in exact epochs."""
