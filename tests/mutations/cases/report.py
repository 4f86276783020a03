"""What a report shows: what counts as inside a premise, what is escaped, what the filters hide, what has changed."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "verification/report", "tests/verification/report"

MUTATIONS = (
    Mutation(
        f"{_DIR}/pages.py",
        "tuple(card.id for card in cards if not any(row.premise.holds for row in card.rows))",
        "tuple(card.id for card in cards if not all(row.premise.holds for row in card.rows))",
        "a claim met in some rows said to be met in none",
        (f"{_TESTS}/test_pages.py::test_findings_count_inside_and_outside_and_name_what_is_never_inside",),
    ),
    Mutation(
        f"{_DIR}/html.py",
        'return re.sub("</(?=script)", r"<\\\\/", text, flags=re.IGNORECASE)',
        "return text",
        "a row that ends a script",
        (f"{_TESTS}/test_html.py::test_what_stands_in_a_row_cannot_end_a_script_or_become_markup",),
    ),
    Mutation(
        f"{_DIR}/difference.py",
        "rows[*name, seen[name]][side] = row",
        "rows[*name, 0][side] = row",
        "rows of one setting taken for one",
        (f"{_TESTS}/test_difference.py::test_rows_of_one_setting_are_compared_in_their_order",),
    ),
    Mutation(
        f"{_DIR}/markdown.py",
        "if not row.conclusion.holds or not row.control.broke]",
        "if row.conclusion.holds is False]",
        "undecided rows left out of the short report",
        (
            f"{_TESTS}/test_markdown.py::test_a_claim_has_one_line_and_only_rows_that_fail_or_are_undecided_stand_in_full",
        ),
    ),
)
