"""Flower's simulation: FedAvg over Ray, its clients by the same PyTorch steps as the plain loop.

The requests are answered from inside the server's app, so that Ray and its actors are started once and stay warm.
"""

import os
import pathlib
import sys

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # no calls home
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["PYTHONPATH"] = str(pathlib.Path(__file__).parent)  # for Ray's processes

import torch
from flower_client import client_app
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from serving import Moved, serve

server_app = ServerApp()


def local_gd(grid, arrays, settings):
    """FedAvg's own rounds; every client takes part and weighs the same."""
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=settings["num_clients"])
    hidden = [arrays[f"hidden_{layer}"] for layer in range(len(arrays) - 4)]
    config = {name: settings[name] for name in ("path", "num_clients", "step_size", "local_steps")}

    def route():
        start = ArrayRecord({str(name): torch.from_numpy(weights) for name, weights in enumerate(hidden)})
        rounds = settings["num_rounds"]
        result = strategy.start(grid, start, num_rounds=rounds, train_config=ConfigRecord(dict(config)))
        after = result.arrays.to_torch_state_dict()
        return Moved([after[str(name)].numpy() for name in range(len(hidden))], hidden)

    return route


@server_app.main()
def main(grid, context):
    """Serve, as every worker does, with Flower's grid at hand."""
    serve({"local_gd": lambda arrays, settings: local_gd(grid, arrays, settings)})


if __name__ == "__main__":
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": os.cpu_count()}}
    run_simulation(server_app, client_app, num_supernodes=int(sys.argv[1]), backend_config=resources)
