"""Flower's client: the plain PyTorch loop's local steps. A module of its own, which Ray's processes can import."""

import functools

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from with_pytorch import local_steps, model

client_app = ClientApp()


@functools.cache
def problem(path, num_clients, number):
    """One client's network and samples, loaded once in each of Ray's processes."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return model(arrays), *(torch.from_numpy(np.split(arrays[name], num_clients)[number]) for name in ("x", "y"))


@client_app.train()
def train(message, context):
    """τ local steps from the weights in the message."""
    settings = message.content["config"]
    number = int(context.node_config["partition-id"])
    net, x, y = problem(settings["path"], settings["num_clients"], number)
    start = message.content["arrays"].to_torch_state_dict()
    with torch.no_grad():
        for name, weights in enumerate(net.trained):
            weights.copy_(start[str(name)])
    local_steps(net, torch.optim.SGD(net.trained, lr=settings["step_size"]), x, y, settings["local_steps"])
    content = {
        "arrays": ArrayRecord({str(name): weights.detach() for name, weights in enumerate(net.trained)}),
        "metrics": MetricRecord({"num-examples": len(x)}),
    }
    return Message(content=RecordDict(content), reply_to=message)
