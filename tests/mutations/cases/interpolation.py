"""Interpolation: one term of the proof, or one rounding error, left out at a time."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "ntk_localsgd/interpolation", "tests/interpolation"
_PROOF, _SHALLOW = f"{_TESTS}/test_proof.py", f"{_TESTS}/test_shallow.py"
_MET = f"{_PROOF}::test_the_lipschitz_constant_is_met_where_all_rows_are_one_and_the_readout_is_large"
_LIPSCHITZ = f"{_PROOF}::test_the_jacobian_moves_no_faster_than_its_lipschitz_constant"
_COVERED = f"{_PROOF}::test_defect_and_jacobian_error_cover_the_exact_ones"

MUTATIONS = (
    Mutation(
        f"{_DIR}/proof.py",
        "alpha, omega = size * residual.norm * SLACK, bound",
        "alpha, omega = float(np.linalg.norm(inverse @ residual.rounded)) * SLACK, bound",
        "α is ‖A r‖, for which the theorem is false",
        (f"{_PROOF}::test_newton_in_fifty_digits_finds_the_zero_within_the_radius",),
    ),
    Mutation(
        f"{_DIR}/proof.py",
        "(computed + rounding + off * size + n * p * TINY)",
        "(computed + rounding + n * p * TINY)",
        "ε without what the stored Jacobian is off",
        (_COVERED,),
    ),
    Mutation(
        f"{_DIR}/proof.py",
        "inner = float(np.linalg.norm(net.readout)) * float(np.linalg.norm(x)) * slope",
        "inner = 0.0",
        "the stored slopes count as exact",
        (_COVERED,),
    ),
    Mutation(
        f"{_DIR}/proof.py",
        "return kernels.spectral_norm(x).upper * root * SLACK",
        "return root * SLACK",
        "Lipschitz constant of a single row",
        (_MET,),
    ),
    Mutation(
        f"{_DIR}/proof.py",
        ", math.sqrt(2) * first)",
        ", 0)",
        "Lipschitz constant for the first layer's weights alone",
        (_LIPSCHITZ,),
    ),
    Mutation(
        f"{_DIR}/proof.py",
        "second * longest * float",
        "0 * longest * float",
        "Lipschitz constant as if σ' were constant",
        (_MET,),
    ),
    Mutation(
        f"{_DIR}/proof.py",
        "(defect + 2 * omega * alpha) * SLACK <= 0.5",
        "(2 * omega * alpha) * SLACK <= 0.5",
        "a Jacobian without a right inverse is certified",
        (f"{_PROOF}::test_a_network_that_fits_without_a_right_inverse_is_not_proved",),
    ),
    Mutation(
        f"{_DIR}/balls.py",
        "norm = _above(sum((flint.arb(r.abs_upper()) ** 2 for r in residual), flint.arb(0)).sqrt())",
        "norm = float(np.linalg.norm(net(x) - y))",
        "the residual's own rounding is left out",
        (f"{_PROOF}::test_the_residual_is_known_to_the_last_digit",),
    ),
    Mutation(
        f"{_DIR}/shallow.py",
        "values[0] + values[1] if len(values) == 2 else values[0]",
        "np.concatenate(values, axis=1)",
        "mirrored halves are summed one after the other",
        (f"{_SHALLOW}::test_mirrored_halves_cancel_to_the_last_bit",),
    ),
    Mutation(
        f"{_DIR}/shallow.py",
        "inner = (slopes * self.readout)[:, :, None]",
        "inner = slopes[:, :, None]",
        "the Jacobian without the readout",
        (f"{_SHALLOW}::test_the_jacobian_is_autodiff_s",),
    ),
    Mutation(
        f"{_DIR}/fitting.py",
        "fitted.parameters - step",
        "fitted.parameters + step",
        "Newton's steps lead away",
        (f"{_PROOF}::test_newton_in_fifty_digits_finds_the_zero_within_the_radius",),
    ),
    Mutation(
        "ntk_localsgd/cli/interpolate.py",
        "if width * (d + 1) < n:",
        "if width * d < 0:",
        "fewer weights than samples are not refused",
        ("tests/cli/test_interpolate.py",),
    ),
)
