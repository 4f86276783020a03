"""
A reviewer checks a theorem
===========================

Does a theorem hold, how tight is it, and what of it is only remembered? Local GD on two layers (FL-NTK, claim C4)
serves as the example.
"""

# %%
# The statement, with the letter that says how certain it is: R is recalled, its constants are not confirmed.

import pathlib
import tempfile

import jax

from ntk_localsgd.bounds import BOUNDS
from verification import registry
from verification.context import Context
from verification.engine import compute
from verification.presets import PRESETS
from verification.store import Store

jax.config.update("jax_enable_x64", True)
registry.discover()
(claim,) = registry.select(["C4"])
print(claim.statement)
print(f"letter {claim.letter}, {claim.source}")

# %%
# What its premise asks for at the numbers of eight images. No computer holds a network this wide: inside its premise
# the theorem cannot be tried, and whatever is measured can only be *observed*.

known = {"n": 8, "delta": 0.05, "lambda0": 0.03, "kappa": 40.0, "tau": 5, "K": 4, "eta_g": 1.0}
width = BOUNDS["C4"].smallest_width(**known)
print(f"m ≥ {width:.2g}, η ≤ {BOUNDS['C4'].largest_step(**known):.2g}")

# %%
# Measure it, at sizes that take seconds. A claim names the jobs that it needs and judges their results; each row says
# premise and conclusion, both sides where they are closest to each other, and a control with one setting changed.

context = Context(PRESETS["smoke"], seed=0)
results = compute(claim.jobs(context), Store(pathlib.Path(tempfile.mkdtemp())))
for row in claim.rows(context, results):
    print(f"{row.where}\n  premise {'met' if row.premise.holds else 'not met'}: {row.premise.text}")
    print(f"  {row.conclusion.text}: {row.measured:.3g} {row.relation} {row.bound:g} -> {row.verdict}")
    print(
        f"  control ({row.control.setting}): {row.control.measured:.3g}, {'broke' if row.control.broke else 'UNBROKEN'}"
    )

# %%
# Twelve seeds do not decide a probability of 0.95: the smoke preset says *inconclusive* where the quick one, with a
# hundred, says *observed*. The committed evidence holds the quick rows, and those of the full preset.

import verification
from verification.report import pages

shown = pages.report(pages.evidence_of(pathlib.Path(verification.__file__).parent / "evidence"))
card = next(card for card in shown.cards if card.id == "C4")
print({str(verdict): count for verdict, count in card.counts.items()}, "worst tightness", pages.worst(card.rows))
print(card.again[0])
