"""One thin entry for each stage of dvc.yaml, run as ``python -m stages.<name>`` from the project's folder."""

from stages.running import DATA, LOCKS, METRICS, REPORT, engine, entry, feature_engine

__all__ = ["DATA", "LOCKS", "METRICS", "REPORT", "engine", "entry", "feature_engine"]
