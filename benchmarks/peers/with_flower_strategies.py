"""Flower's strategies without its simulation: PyTorch's local steps, averaged by the strategy's own aggregate_train."""

import dataclasses
import logging
import os
import sys

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # no calls home

import numpy as np
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, FedAvgM
from serving import Moved, serve
from with_pytorch import model

logging.getLogger("flwr").setLevel(logging.WARNING)  # a line a round


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a strategy reads of a message; Flower's own class wants a running task that it belongs to."""

    content: RecordDict

    def has_error(self):
        return False


def fedavg(arrays, settings):
    """Clients weigh what they hold, by the number of examples that they report; every round's examples in our order."""
    net, sizes = model(arrays), settings["sizes"]
    x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    start = [w.detach().clone() for w in net.trained]
    parts = list(enumerate(np.cumsum(sizes) - sizes))
    orders = [
        [torch.from_numpy(first + arrays[f"order_{t}_{c}"]) for c, first in parts]
        for t in range(settings["num_rounds"])
    ]

    def client(number, weights, order):
        with torch.no_grad():
            for own, value in zip(net.trained, weights, strict=True):
                own.copy_(value)
        optimizer = torch.optim.SGD(net.trained, lr=settings["step_size"], momentum=settings["client_momentum"])
        for batch in order.split(settings["batch_size"]):
            optimizer.zero_grad(set_to_none=True)
            (((net(x[batch]) - y[batch]) ** 2).mean() / 2).backward()
            optimizer.step()
        content = {"arrays": _record(net.trained), "metrics": MetricRecord({"num-examples": sizes[number]})}
        return Reply(RecordDict(content))

    def route():
        strategy, weights = _strategy(settings, start), start
        for t, order in enumerate(orders, 1):
            replies = [client(number, weights, own) for number, own in enumerate(order)]
            average, _ = strategy.aggregate_train(t, replies)
            weights = [torch.from_numpy(array.numpy()) for array in average.values()]
        return Moved(weights, start)

    return route


def _strategy(settings, start):
    """FedAvg, or FedAvgM, which goes on from weights that it has been given."""
    if not settings.get("server"):
        return FedAvg()
    kind, decay = settings["server"]
    assert kind == "momentum"
    strategy = FedAvgM(server_learning_rate=settings["server_step_size"], server_momentum=decay)
    strategy.current_arrays = _record(start)
    return strategy


def _record(weights):
    return ArrayRecord({str(number): each.detach().clone() for number, each in enumerate(weights)})


if __name__ == "__main__":
    sys.exit(serve({"fedavg": fedavg}))
