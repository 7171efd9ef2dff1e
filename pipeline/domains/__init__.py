"""Which of the 25 distortion types a set of images resembles, and which to train on (paper 4, DGQA)."""

from pipeline.domains.greedy import DomainGrams, GreedyPath, Step, chosen_often, greedy_path
from pipeline.domains.similarity import RULES, THRESHOLD, Outputs, Similarity, similarity

__all__ = [
    "RULES",
    "THRESHOLD",
    "DomainGrams",
    "GreedyPath",
    "Outputs",
    "Similarity",
    "Step",
    "chosen_often",
    "greedy_path",
    "similarity",
]
