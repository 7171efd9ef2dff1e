"""The nouns: sources, distortions, shards, encoder, training, databases, features, evaluation, report."""


class Refusal(Exception):
    """What the user can mend: the message is one line that names the key or the file. Everything else is a bug."""
