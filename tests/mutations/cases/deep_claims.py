"""Claims about deep networks: what is measured of them, and what their premises ask."""

from tests.mutations.mutation import Mutation

_JOBS, _CLAIMS, _TESTS = "verification/jobs", "verification/claims", "tests/verification"
_START = f"{_TESTS}/jobs/test_deep_start.py"
_EFFECTS = (
    f"{_TESTS}/jobs/test_deep_perturbation.py"
    "::test_effects_are_those_of_plain_numpy_and_the_adversary_flips_far_more_than_chance"
)
_KINK = f"{_TESTS}/jobs/test_key_property.py"
_FIT, _RATE = f"{_TESTS}/claims/deep/test_key_property.py", f"{_TESTS}/claims/deep/test_convergence.py"
_TRAINING = f"{_TESTS}/claims/deep/test_training.py"

MUTATIONS = (
    Mutation(
        f"{_JOBS}/deep_start.py",
        "np.eye(problem.num_outputs)) / problem.num_outputs",
        "np.eye(problem.num_outputs))",
        "D5: blocks Θ^∞ for Θ^∞/o",
        (f"{_START}::test_eigenvalues_norms_and_errors_are_those_of_the_dense_jacobian",),
    ),
    Mutation(
        f"{_JOBS}/deep_start.py",
        "grams.transpose(0, 1, 3, 2, 4)",
        "grams",
        "Θ of several outputs: rows of one sample not together",
        (f"{_START}::test_eigenvalues_norms_and_errors_are_those_of_the_dense_jacobian",),
    ),
    Mutation(
        f"{_JOBS}/deep_perturbation.py",
        "return flips, moved, increase - linear, increase",
        "return flips, moved, increase, increase",
        "D6: the gradient's term not taken off",
        (_EFFECTS,),
    ),
    Mutation(
        f"{_JOBS}/deep_perturbation.py",
        "jax.lax.map(along, jnp.array([1.0, -1.0], x.dtype))",
        "jax.lax.map(along, jnp.array([1.0, 1.0], x.dtype))",
        "D3, D4, D6: one sign of W' only",
        (_EFFECTS,),
    ),
    Mutation(
        f"{_JOBS}/deep_perturbation.py",
        "slope = on_sphere(jax.grad(flips)(moved))",
        "slope = on_sphere(small)",
        "the adversary goes where it began to go",
        (_EFFECTS,),
    ),
    Mutation(
        f"{_JOBS}/key_property.py",
        "(sign * gap / jnp.linalg.norm(h) - to_kink) * h",
        "(sign * gap / jnp.linalg.norm(h)) * h",
        "both sides lie on one side of the kink",
        (f"{_KINK}::test_across_a_kink_gradients_jump_while_distances_vanish",),
    ),
    Mutation(
        f"{_JOBS}/key_property.py",
        "np.max(norms, axis=0)",
        "np.min(norms, axis=0)",
        "the smallest client's kernel for the largest",
        (f"{_KINK}::test_norms_of_clients_are_their_largest_singular_values_squared",),
    ),
    Mutation(
        f"{_CLAIMS}/deep/key_property.py",
        "scipy.optimize.nnls(columns, np.ones(len(columns)))",
        "scipy.optimize.nnls(columns[:, ::-1], np.ones(len(columns)))",
        "a and b of the fit exchanged",
        (f"{_FIT}::test_fit_recovers_the_constants_that_made_the_pairs",),
    ),
    Mutation(
        f"{_CLAIMS}/deep/convergence.py",
        '"eta": training.step_size * problem.num_samples',
        '"eta": training.step_size',
        "C2: the sum loss' step for the mean loss'",
        (f"{_RATE}::test_premises_solve_for_the_width_and_are_not_met",),
    ),
    Mutation(
        f"{_CLAIMS}/deep/convergence.py",
        "max(mean_interval(half.mean(axis=1)).upper for half in halves)",
        "min(mean_interval(half.mean(axis=1)).upper for half in halves)",
        "C2: a network that dies in the first round decays",
        (f"{_RATE}::test_a_dead_network_or_a_diverged_one_does_not_decay",),
    ),
    Mutation(
        f"{_CLAIMS}/growth.py",
        "alike and gains[0] <= 1 and differs <= _LEARNED",
        "alike and differs <= _LEARNED",
        "exponents of runs whose steps are too large",
        (f"{_TRAINING}::test_the_premise_fails_where_more_changes_than_the_width",),
    ),
    Mutation(
        "ntk_localsgd/bounds/allen_zhu_li_song_2019.py",
        "width, step = n**24 * depth**12",
        "width, step = n**24 * depth**13",
        "C1-deep: another power of L in the width",
        ("tests/bounds/test_bounds.py::test_width_and_step_of_gradient_descent_on_deep_networks",),
    ),
)
