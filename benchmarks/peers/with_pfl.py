"""pfl-research's federated averaging: its backend simulates one client after the other, in PyTorch."""

import logging
import os
import sys

os.environ["PFL_PYTORCH_DEVICE"] = "cpu"

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Weighted
from pfl.model.pytorch import PyTorchModel
from serving import Moved, serve
from with_pytorch import Deep

logging.getLogger("pfl").setLevel(logging.WARNING)


class Network(Deep):
    """With the loss and the metrics that pfl asks of a model."""

    def loss(self, x, y):
        return ((self(x) - y) ** 2).sum() / 2

    def metrics(self, *batch):
        """Nothing: pfl evaluates every client before and after the first round, which no other route does."""
        return {"samples": Weighted(0, len(batch[0]))}


def local_gd(arrays, settings):
    """FederatedAveraging with full batches: each epoch is one local step; all clients take part and weigh the same."""
    number, rounds = settings["num_clients"], settings["num_rounds"]
    x, y = (torch.from_numpy(arrays[name]).chunk(number) for name in ("x", "y"))
    users = [PyTorchTensorDataset(pair, user_id=str(k)) for k, pair in enumerate(zip(x, y, strict=True))]
    data = FederatedDataset(users.__getitem__, get_user_sampler("minimize_reuse", range(number)))
    net = Network(arrays)
    start = [w.detach().clone() for w in net.trained]
    # The server adds the mean of what clients add: a step of length 1.
    model = PyTorchModel(net, torch.optim.SGD, torch.optim.SGD(net.trained, lr=1.0))
    # Evaluation comes at multiples of its frequency, 0 among them, and metrics above cost nothing.
    plan = NNAlgorithmParams(rounds, evaluation_frequency=rounds, train_cohort_size=number, val_cohort_size=None)
    train = NNTrainHyperParams(
        local_batch_size=None, local_num_epochs=settings["local_steps"], local_learning_rate=settings["step_size"]
    )
    backend = SimulatedBackend(training_data=data, val_data=data)

    def route():
        with torch.no_grad():
            for w, value in zip(net.trained, start, strict=True):
                w.copy_(value)
        FederatedAveraging().run(plan, backend, model, train, send_metrics_to_platform=False)
        return Moved([w.detach().clone() for w in net.trained], start)

    return route


if __name__ == "__main__":
    sys.exit(serve({"local_gd": local_gd}))
