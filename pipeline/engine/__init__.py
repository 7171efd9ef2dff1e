"""Run one function over many tasks: in this process, in a pool of processes, or on Ray."""

from pipeline.engine.engine import ENGINES, Engine
from pipeline.engine.progress_bar import progress
from pipeline.engine.worker_failures import RETRIES, EngineError, WorkerDied

__all__ = ["ENGINES", "RETRIES", "Engine", "EngineError", "WorkerDied", "progress"]
