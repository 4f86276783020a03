"""How a round of Local SGD is computed: one file a way, and the one place that chooses between them."""

from ntk_localsgd.local_sgd.gradients import ClientData
from ntk_localsgd.local_sgd.ways import lockstep, one_by_one, shared
from ntk_localsgd.local_sgd.ways.way import Plan, Seen, Start, Way
from ntk_localsgd.networks import Network

__all__ = ["Plan", "Seen", "Start", "Way", "choose"]


def choose(net: Network, data: ClientData, plan: Plan) -> Way:
    """The fastest way that sees what is to be observed."""
    if plan.at_steps:
        return lockstep
    if not plan.at_taken and shared.is_faster(net, data, plan.local_steps, plan.batch_size):
        return shared
    return one_by_one
