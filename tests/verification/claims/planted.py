"""Judges fed with numbers that no job has measured."""

import dataclasses

from verification import registry
from verification.context import Context
from verification.engine import Results
from verification.presets import PRESETS

registry.discover()

#: The smallest sizes on one data set, with as many trials as decide a probability of 0.05.
CONTEXT = Context(dataclasses.replace(PRESETS["smoke"], trials=100, kinds=("sphere",)), 0)


def rows(claim_id, numbers, context=CONTEXT):
    """Rows of a claim for results that a function of the job and its place among the claim's jobs returns."""
    claim = registry.CLAIMS[claim_id]
    jobs = list(dict.fromkeys(claim.needs(context)))
    return claim.rows(context, Results({job: numbers(job, place) for place, job in enumerate(jobs)}))
