"""A certificate as a file: whose run it speaks of, and all that it claims, every number to the last bit."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
from numpy import ndarray

from ntk_localsgd.certificate.outcome import Certificate
from ntk_localsgd.certificate.schedule import refuse_unproved
from ntk_localsgd.certificate.two_layer.certifier import first_layer
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import LocalSGD
from ntk_localsgd.networks import Network
from ntk_localsgd.networks.stack import structure

__all__ = ["write_certificate"]


def write_certificate(
    path: str | pathlib.Path, proof: Certificate, net: Network, dataset: Dataset, clients: Clients, config: LocalSGD
) -> None:
    """Write what ``python -m verification recheck`` decides anew, from weights and data alone.

    Parameters
    ----------
    path
        A .json file, whose folder is made if missing; numbers are in it as `float.hex` writes them.
    proof, net, dataset, clients, config
        A certificate of two layers and what it was asked about; with a lazy scale, as `local_sgd.lazy_targets` has it.

    Raises
    ------
    InputError
        For a network of more layers, settings that no proof speaks of, or a file that cannot be written.
    """
    refuse_unproved(config)
    stack = structure(net)
    layer = None if stack is None else first_layer(stack)
    if layer is None:
        raise InputError(f"net is a {type(net).__name__}, but certificates are written for two layers only.")
    weights, signs = layer
    content: dict[str, Any] = {
        "format": "ntk-localsgd certificate 1",
        "network": {"weights": _rows(weights), "signs": [int(sign) for sign in signs]},
        "data": {"inputs": _rows(dataset.inputs), "targets": _row(dataset.targets)},
        "clients": [[int(i) for i in part] for part in clients.indices],
        "run": {
            "step_size": float(config.step_size).hex(),
            "local_steps": config.local_steps if isinstance(config.local_steps, int) else list(config.local_steps),
            "batch_size": config.batch_size,
            "participants": config.participants,
            "server_step_size": float(config.server_step_size).hex(),
        },
        "claims": {
            "certified": proof.certified,
            "method": proof.method,
            "delta": proof.delta,
            "residual_norm": float(proof.residual_norm).hex(),
            "rate": float(proof.rate).hex(),
            "constant": float(proof.constant).hex(),
            "radius": float(proof.radius).hex(),
            "switching": np.asarray(proof.switching).tolist(),
        },
    }
    content["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    try:
        path = pathlib.Path(path)
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        raise InputError(f"certificate {path} cannot be written ({error.strerror}).") from error


def _row(values: Any) -> list[str]:
    return [float(value).hex() for value in np.asarray(values, np.float64)]


def _rows(values: Any) -> list[list[str]]:
    array: ndarray = np.asarray(values, np.float64)
    return [_row(row) for row in array]
