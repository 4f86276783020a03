"""How a round of Local SGD is computed: one file a way, and the one place that chooses between them."""

from ntk_localsgd.local_sgd.gradients import ClientData
from ntk_localsgd.local_sgd.ways import lockstep, one_by_one, shared
from ntk_localsgd.local_sgd.ways.way import ClientRule, Plan, Seen, Start, Way
from ntk_localsgd.networks import Network

__all__ = ["ClientRule", "Plan", "Seen", "Start", "Way", "choose"]


def choose(net: Network, data: ClientData, plan: Plan) -> Way:
    """The fastest way that sees what is to be observed, and takes the steps that are planned.

    `shared` knows plain gradient steps and the uniform average alone.
    """
    if plan.at_steps:
        return lockstep
    known = plan.rule.plain and not plan.weighted and not plan.at_taken
    if known and shared.is_faster(net, data, plan.local_steps, plan.batch_size):
        return shared
    return one_by_one
