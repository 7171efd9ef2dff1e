"""Which of the 25 distortion types a set of images resembles, and which to train on (paper 4, DGQA)."""

from pipeline.domains.greedy import DomainGrams, GreedyPath, Step, chosen_often, greedy_path
from pipeline.domains.selections import PATH, DomainsError, Study, Transfer, study
from pipeline.domains.similarity import RULES, THRESHOLD, Outputs, Similarity, similarity
from pipeline.domains.targets import DOMAINS, TargetError, domains_table, in_words, selected, target_outputs

__all__ = [
    "DOMAINS",
    "PATH",
    "RULES",
    "THRESHOLD",
    "DomainGrams",
    "DomainsError",
    "GreedyPath",
    "Outputs",
    "Similarity",
    "Step",
    "Study",
    "TargetError",
    "Transfer",
    "chosen_often",
    "domains_table",
    "greedy_path",
    "in_words",
    "selected",
    "similarity",
    "study",
    "target_outputs",
]
