"""What a certificate's file says: whose run it speaks of, and what it claims."""

import hashlib
import json
import operator
import pathlib
from typing import Any, NamedTuple

import numpy as np
from flint import arb, arb_mat

from ntk_localsgd.errors import InputError

__all__ = ["MOST_SAMPLES", "Stated", "digest", "read_certificate"]

#: Samples that are followed in minutes.
MOST_SAMPLES = 32


class Stated(NamedTuple):
    """A certificate: whose run it speaks of, and what it claims."""

    weights: arb_mat  # [m d]
    signs: list[int]
    inputs: arb_mat  # [n d]
    targets: list[arb]
    clients: list[list[int]]
    step_size: arb
    local_steps: int
    residual_norm: arb
    rate: arb
    constant: arb
    radius: arb
    switching: set[tuple[int, int]]  # (sample, neuron)


def digest(content: dict[str, Any]) -> str:
    """SHA-256 of all but the digest itself."""
    rest = {name: value for name, value in content.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_certificate(path: pathlib.Path) -> Stated:
    """Read what ``ntk-localsgd certify --record`` wrote.

    Raises
    ------
    InputError
        If it cannot be read, was altered, proves nothing (a rate of 1 or more does not), or is not about full batches
        and at most 32 samples.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["digest"] != digest(content):
            raise InputError(f"{path} was altered: its digest is that of other contents.")
        return _stated(path, content)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"certificate {path} cannot be read ({error}).") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"certificate {path} is not one as certify writes it ({error!r}).") from error


def _stated(path: pathlib.Path, content: dict[str, Any]) -> Stated:
    run, claims, net = content["run"], content["claims"], content["network"]
    if claims["certified"] is not True or not 0 < _number(claims["rate"]) < 1:
        raise InputError(f"{path} proves nothing: there is no claim to recheck, which has a rate below 1.")
    if claims["delta"] or run["batch_size"] is not None or run["participants"] not in (None, len(content["clients"])):
        raise InputError(f"{path} is about a run that draws batches or participants, needs to be about full ones.")
    if _number(run["server_step_size"]) != 1 or type(run["local_steps"]) is not int:
        raise InputError(f"{path} has a server step size or local steps by client, needs 1 and one number.")
    inputs, clients = content["data"]["inputs"], [[operator.index(i) for i in part] for part in content["clients"]]
    if len(inputs) > MOST_SAMPLES:
        raise InputError(f"{path} has {len(inputs)} samples, needs at most {MOST_SAMPLES}: each is followed exactly.")
    signs = [operator.index(sign) for sign in net["signs"]]
    whole = sorted(i for part in clients for i in part) == list(range(len(inputs))) and all(clients)
    shapes = len(signs) == len(net["weights"]) and len(content["data"]["targets"]) == len(inputs)
    widths = {len(row) for row in (*net["weights"], *inputs)}
    some = bool(signs and inputs) and len(widths) == 1 and 0 not in widths
    if not (whole and shapes and some and set(signs) <= {-1, 1} and run["local_steps"] >= 1):
        raise InputError(f"{path}: network, data and clients do not fit each other.")
    return Stated(
        weights=arb_mat([[_number(v) for v in row] for row in net["weights"]]),
        signs=signs,
        inputs=arb_mat([[_number(v) for v in row] for row in inputs]),
        targets=[_number(v) for v in content["data"]["targets"]],
        clients=clients,
        step_size=_number(run["step_size"]),
        local_steps=run["local_steps"],
        residual_norm=_number(claims["residual_norm"]),
        rate=_number(claims["rate"]),
        constant=_number(claims["constant"]),
        radius=_number(claims["radius"]),
        switching={(operator.index(j), operator.index(r)) for j, r in claims["switching"]},
    )


def _number(text: str) -> arb:
    """A float64, exactly."""
    value = float.fromhex(text)
    if not np.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return arb(value)
