"""What certificates are computed from, for a case of `verification.jobs.certified_cases`."""

import numpy as np

from ntk_localsgd.certificate.model import Problem, RoundModel
from ntk_localsgd.certificate.two_layer.neurons import near_kinks, survey


def parts_of(case, threshold=np.inf):
    """(problem, survey, neurons near a kink, frozen round) as a certificate begins; by default all neurons are near."""
    problem = Problem.from_inputs(case.inputs, case.clients, case.config)
    neurons = lambda: iter([(case.weights, case.signs)])  # noqa: E731
    found = survey(neurons, case.inputs, case.targets)
    near = near_kinks(neurons, case.inputs, np.full(len(case.inputs), threshold))
    return problem, found, near, RoundModel(problem.inner * (found.counts / found.width), problem)
