"""Local SGD: settings, runs, observables.

>>> from ntk_localsgd import local_sgd
>>> local_sgd.LocalSGD(step_size=0.1, local_steps=5, num_rounds=20)
LocalSGD(step_size=0.1, local_steps=5, num_rounds=20)
"""

from ntk_localsgd.local_sgd.config import Checkpoint, LocalSGD, epoch_steps
from ntk_localsgd.local_sgd.evaluation import held_out
from ntk_localsgd.local_sgd.lazy import lazy_targets
from ntk_localsgd.local_sgd.observables import OBSERVABLES, Observable
from ntk_localsgd.local_sgd.recording import join
from ntk_localsgd.local_sgd.running import Run, run, run_seeds
from ntk_localsgd.local_sgd.server import Adam, Momentum

__all__ = [
    "OBSERVABLES",
    "Adam",
    "Checkpoint",
    "LocalSGD",
    "Momentum",
    "Observable",
    "Run",
    "epoch_steps",
    "held_out",
    "join",
    "lazy_targets",
    "run",
    "run_seeds",
]
