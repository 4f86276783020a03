"""Local SGD: settings, runs, observables.

>>> from ntk_localsgd import local_sgd
>>> local_sgd.LocalSGD(step_size=0.1, local_steps=5, num_rounds=20)
LocalSGD(step_size=0.1, local_steps=5, num_rounds=20, batch_size=None, server_step_size=1.0, participants=None)
"""

from ntk_localsgd.local_sgd.config import Checkpoint, LocalSGD
from ntk_localsgd.local_sgd.lazy import lazy_targets
from ntk_localsgd.local_sgd.observables import OBSERVABLES, Observable
from ntk_localsgd.local_sgd.recording import join
from ntk_localsgd.local_sgd.running import Run, run, run_seeds

__all__ = ["OBSERVABLES", "Checkpoint", "LocalSGD", "Observable", "Run", "join", "lazy_targets", "run", "run_seeds"]
