"""Which executor the options of a command ask for."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from concurrent.futures import Executor

from ntk_localsgd.errors import InputError

__all__ = ["chosen", "expected_device"]


@contextlib.contextmanager
def chosen(
    workers: int | None = None, cluster: str | None = None, config: pathlib.Path | None = None
) -> Iterator[Executor | None]:
    """The executor, for as long as the context lasts; None: the engine's own threads.

    Parameters
    ----------
    workers
        Number of processes of this machine.
    cluster, config
        ``tcp://host:port`` or ``tls://host:port`` of a Dask scheduler, or ``slurm`` with its configuration.

    Raises
    ------
    InputError
        If these do not fit each other, or what they ask for is not there.
    """
    if workers is not None and cluster is not None:
        raise InputError(f"workers is {workers} and cluster {cluster!r}, needs to be one of them.")
    if (config is not None) != (cluster == "slurm"):
        raise InputError("cluster-config and cluster slurm belong together, needs both.")
    if cluster is not None:
        from verification.engine import cluster as clusters

        with clusters.slurm(config) if config is not None else clusters.connected(cluster) as executor:
            yield executor
    elif workers is not None:
        from verification.engine.workers import Workers

        # The judges here need next to nothing of a GPU that the workers share.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        with Workers(workers) as executor:
            yield executor
    else:
        yield None


def expected_device(workers: int | None) -> str:
    """What jobs would be computed on, found without starting a process; on clusters nobody knows."""
    from ntk_localsgd.provenance import device_name, processor_name
    from verification.engine.workers import gpus, shared_out

    if workers is None or gpus():
        return device_name()
    return processor_name(len(shared_out(max(1, workers))[0]))
