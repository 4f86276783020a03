"""Theorems' bounds: exponents, constants, premises, and how they are solved."""

from tests.mutations.mutation import Mutation

_TESTS = "tests/bounds/test_bounds.py"
_BY_HAND = f"{_TESTS}::test_right_hand_side_matches_the_formula_written_out"
_WIDTHS = f"{_TESTS}::test_widths_and_steps_match_the_formulas_written_out"
_DEEP_WIDTHS = f"{_TESTS}::test_widths_of_the_deep_theorems_solve_their_own_premise"
_DEEP_STEP = f"{_TESTS}::test_steps_of_the_deep_theorem_match_the_formula_written_out"
_DIR = "ntk_localsgd/bounds"

MUTATIONS = (
    Mutation(
        f"{_DIR}/allen_zhu_li_song_2019.py",
        "m * depth * omega ** sp.Rational(2, 3)",
        "m * depth * omega ** sp.Rational(1, 3)",
        "D3: ω^(1/3) for ω^(2/3)",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/allen_zhu_li_song_2019.py",
        "second = n * depth**2 * m / o * distance**2",
        "second = n * depth**2 * m / o * distance",
        "D6: the second-order term is linear",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/bound.py",
        'numbers["eta"] <= self.largest_step(**numbers)',
        'numbers["eta"] < self.largest_step(**numbers)',
        "premise: < for ≤ at the largest step size",
        (f"{_TESTS}::test_premise_needs_samples_width_and_step_together",),
    ),
    Mutation(
        f"{_DIR}/bound.py",
        "        return upper\n",
        "        return lower\n",
        "smallest width rounded down",
        (f"{_TESTS}::test_width_solved_for_a_target_reaches_it_and_one_less_does_not",),
    ),
    Mutation(
        f"{_DIR}/bound.py",
        "return max(1, *asked)",
        "return max(1, min(asked))",
        "smallest width meets the premise or the target, not both",
        (f"{_TESTS}::test_smallest_width_meets_the_premise_and_the_target",),
    ),
    Mutation(
        f"{_DIR}/bound.py",
        "            m = m**2\n        while m > 1:",
        "            m = m**2\n        while False:",
        "smallest width: any width that satisfies the premise",
        (f"{_TESTS}::test_smallest_width_is_the_first_from_which_on_the_premise_holds",),
    ),
    Mutation(
        f"{_DIR}/bound.py",
        "digits = max(0, mpmath.mag(rough)) // 3 + _GUARD",
        "digits = _GUARD",
        "widths of forty digits rounded to twenty",
        (f"{_TESTS}::test_widths_beyond_floats_are_exact",),
    ),
    Mutation(
        f"{_DIR}/deng_kamani_mahdavi_2022.py",
        "o * phi / (m * tau * n**3 * log**2)",
        "o * phi / (m * n**3 * log**2)",
        "C2: τ missing in the step size",
        (_DEEP_STEP,),
    ),
    Mutation(
        f"{_DIR}/deng_kamani_mahdavi_2022.py",
        "width = clients * n**18 * depth**12 * log**5 / phi**3",
        "width = clients * n**18 * depth**12 * log**3 / phi**3",
        "C3: log³ m for log⁵ m in the width",
        (_DEEP_WIDTHS,),
    ),
    Mutation(
        f"{_DIR}/deng_kamani_mahdavi_2022.py",
        "(trajectory / trajectory_radius(a=a, b=b).expression) ** 2",
        "(trajectory / trajectory_radius(a=a, b=b).expression)",
        "C5: the balanced width without its square",
        (f"{_TESTS}::test_exponents_balance_to_the_widths_of_the_papers",),
    ),
    Mutation(
        f"{_DIR}/derived.py",
        "chi * sp.sqrt(flips) * residual",
        "chi * flips * residual",
        "S1a: p for √p",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/derived.py",
        "8 * n**2 * sp.log(2 * n**2 / delta) / lambda0**2",
        "8 * n**2 * sp.log(2 * n**2 / delta) / lambda0",
        "K4a-width: λ0 for λ0²",
        (_WIDTHS,),
    ),
    Mutation(
        f"{_DIR}/du_2019.py",
        "(1 - eta * lambda0 / 2) ** k * residual**2",
        "(1 - eta * lambda0) ** k * residual**2",
        "C1: rate 1 − ηλ0 for 1 − ηλ0/2",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/du_2019.py",
        'quantity, "<=", bound, width=_width(), step=_step(), least_samples=4)',
        'quantity, "<=", bound, step=_step(), least_samples=4)',
        "S4: the premise's width dropped",
        (_WIDTHS,),
    ),
    Mutation(
        f"{_DIR}/gaussian.py",
        "2 * radius / sp.sqrt(2 * sp.pi)",
        "radius / sp.sqrt(2 * sp.pi)",
        "K5: one side of the kink only",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/gaussian.py",
        'sp.erf(symbols("R") / sp.sqrt(2))',
        'sp.erf(symbols("R") / sp.sqrt(2)) / 2',
        "K5, exact: P(0 ≤ w·x ≤ R)",
        (f"{_TESTS}::test_error_function_is_the_two_sided_probability_and_lies_below_its_linear_bound",),
    ),
    Mutation(
        f"{_DIR}/hoeffding_1963.py",
        "sp.sqrt(sp.log(2 * n**2 / delta) / (2 * m))",
        "sp.sqrt(sp.log(2 * n**2 / delta) / m)",
        "K4a: a factor 2 under the root",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/oymak_soltanolkotabi_2020.py",
        "phi / (100 * n**2)",
        "phi / (100 * n)",
        "K3: n for n²",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/song_yang_2019.py",
        "sp.log(n * (n + 1) / delta)",
        "sp.log(n / delta)",
        "K6c: union bound over n instead of n(n + 1) counts",
        (f"{_TESTS}::test_stability_width_makes_the_failure_probability_delta",),
    ),
    Mutation(
        f"{_DIR}/tropp_2012.py",
        "32 * spectral**2 * sp.log(n / delta)",
        "32 * spectral * sp.log(n / delta)",
        "K4b: ‖X‖ for ‖X‖²",
        (_WIDTHS,),
    ),
    Mutation(
        f"{_DIR}/zou_gu_2019.py",
        "m * phi / (o * n) * loss",
        "m * phi / (o * n**2) * loss",
        "D2-sharper: the older bound's n²",
        (_BY_HAND,),
    ),
    Mutation(
        f"{_DIR}/huang_2021.py",
        "eta_g * eta * lambda0 * tau / (2 * clients)",
        "eta_g * eta * lambda0 * tau / 2",
        "C4: η_g for η_g/K",
        (_BY_HAND,),
    ),
    Mutation(
        "ntk_localsgd/bounds/exponents.py",
        "if not base.is_number}",
        "}",
        "a constant factor counted among the powers",
        ("tests/test_doctests.py::test_examples_run_as_written[ntk_localsgd.bounds.exponents]",),
    ),
)
