"""FL-NTK and the inverse's quadratic form: one term left out or put in another's place at a time."""

from tests.mutations.mutation import Mutation

_FORM, _JOBS = "tests/kernels/test_inverse_form.py", "tests/verification/jobs"
_KERNELS, _CLAIMS = f"{_JOBS}/test_client_kernels.py", "tests/verification/claims"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/kernels/inverse_form.py",
        "middle = float(y @ z) + float(z @ rest)",
        "middle = float(y @ z)",
        "yᵀA⁻¹y without its first-order correction",
        (_FORM,),
    ),
    Mutation(
        "ntk_localsgd/kernels/inverse_form.py",
        "np.linalg.norm(sizes)) + error * length)",
        "np.linalg.norm(sizes)))",
        "yᵀA⁻¹y as if the stored matrix were the true one",
        (_FORM,),
    ),
    Mutation(
        "ntk_localsgd/bounds/huang_2021.py",
        "sp.sqrt(2 * form / n)",
        "sp.sqrt(form / n)",
        "F3 without the 2",
        ("tests/bounds/test_huang.py",),
    ),
    Mutation(
        "verification/jobs/client_kernels.py",
        "counts[k][:, part] = patterns @ own.T",
        "counts[k][:, part] = patterns @ patterns[part].T",
        "local patterns are the averaged model's",
        (_KERNELS,),
    ),
    Mutation(
        "verification/jobs/client_kernels.py",
        "prediction.round_weights(grams[0], split, config) @ residual",
        "residual",
        "the predicted cosine is a gradient's",
        (_KERNELS,),
    ),
    Mutation(
        "verification/jobs/client_kernels.py",
        'if number or self.fault != "client left out":',
        "if True:",
        "F2's control leaves no client out",
        (_KERNELS,),
    ),
    Mutation(
        "verification/jobs/client_kernels.py",
        'weights if self.fault == "gradients of the start" else local',
        "local",
        "F2's control follows the gradients of its own weights",
        (_KERNELS,),
    ),
    Mutation(
        "verification/jobs/generalization.py",
        "np.abs(outputs - y[n:])",
        "np.abs(outputs - y[: len(outputs)])",
        "test losses against labels of other images",
        (f"{_JOBS}/test_generalization.py",),
    ),
    Mutation(
        "verification/jobs/interpolants.py",
        "return -np.array(slopes)",
        "return np.array(slopes)",
        "N3's worst direction leads away from the worst",
        (f"{_JOBS}/test_interpolants.py",),
    ),
    Mutation(
        "verification/claims/narrow/expressivity.py",
        "holds=row.conclusion.holds or None",
        "holds=row.conclusion.holds",
        "N2: what is not proved counts as refuted",
        (f"{_CLAIMS}/narrow/test_expressivity.py",),
    ),
    Mutation(
        "verification/claims/federated/direction.py",
        "also=start <= _ROUNDING,",
        "",
        "F1 does not ask for symmetry at k = 0",
        (f"{_CLAIMS}/federated/test_direction.py",),
    ),
    Mutation(
        "verification/claims/federated/generalization.py",
        "key=lambda ratio: ratio.upper",
        "key=lambda ratio: -ratio.upper",
        "F3 judges the best n",
        (f"{_CLAIMS}/federated/test_generalization.py",),
    ),
    Mutation(
        "verification/jobs/narrow_training.py",
        "inner = start.inner + moved * np.minimum(1, limit / ",
        "inner = start.inner + moved * (limit / ",
        "N4: weights are thrown onto the region's edge",
        (f"{_JOBS}/test_narrow_training.py",),
    ),
    Mutation(
        "verification/claims/narrow/training.py",
        "inside = own.where(own.active == 0, drop=True)",
        "inside = own",
        "N5: points on the edge count as inside",
        (f"{_CLAIMS}/narrow/test_training.py",),
    ),
    Mutation(
        "verification/jobs/unequal_steps.py",
        "local_steps=self.steps_by_client",
        "local_steps=self.local_steps",
        "C4-unequal: every client takes as many steps",
        (f"{_JOBS}/test_unequal_steps.py",),
    ),
    Mutation(
        "verification/claims/federated/sweeps.py",
        "return float(2 / (1 - eigenvalues.min()))",
        "return float(1 / (1 - eigenvalues.min()))",
        "C4-server: the ceiling without its 2",
        (f"{_CLAIMS}/federated/test_sweeps.py",),
    ),
    Mutation(
        "verification/claims/federated/sweeps.py",
        "                    worst_ratio(alike, results[job].loss.values),",
        "                    worst_ratio(job, results[job].loss.values),",
        "C4-unequal: the mean's rate is the fewest's",
        (f"{_CLAIMS}/federated/test_sweeps.py",),
    ),
    Mutation(
        "figures/narrow.py",
        "proved == tried",
        "proved < tried",
        "a width is filled where a fit is not proved",
        ("tests/figures/test_narrow.py",),
    ),
)
