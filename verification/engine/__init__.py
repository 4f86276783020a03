"""The engine: jobs to results by any executor of `concurrent.futures`, through one store, whatever dies meanwhile."""

from verification.engine.computing import compute
from verification.engine.grid import sweep
from verification.engine.progress import progress_bar
from verification.engine.results import Results
from verification.engine.workers import Workers

__all__ = ["Results", "Workers", "compute", "progress_bar", "sweep"]
