"""Metrics that are not trained: a public function for each full-reference one (``pipeline.metrics.gmsd.gmsd``), and
NIQE, which needs no reference.
"""

from pipeline.metrics.full_reference import METRICS, Metric
from pipeline.metrics.pairs import MetricError

__all__ = ["METRICS", "Metric", "MetricError"]
