"""The site's checks: each lets through what it is there to find."""

from tests.mutations.mutation import Mutation

_SITE = "tests/docs/test_site.py"

MUTATIONS = (
    Mutation(
        "verification/report/typesetting.py",
        'yield ("sup", raised) if raised',
        'yield ("sub", raised) if raised',
        "powers are lowered",
        ("tests/verification/report/test_html.py", "tests/verification/report/test_typesetting.py"),
    ),
    Mutation(
        "figures/verdicts.py",
        'if row.control != "broke":',
        'if row.control == "broke":',
        "a ring around the controls that broke",
        ("tests/figures/test_verdicts.py",),
    ),
    Mutation(
        "verification/report/pages.py",
        "for name in sorted(BOUNDS, key=len) if is_part(self.id, name)][-1:]",
        "for name in sorted(BOUNDS, key=len) if is_part(self.id, name)][:1]",
        "a part's card links to the bound of the whole claim",
        ("tests/verification/report/test_pages.py",),
    ),
    Mutation(
        "verification/report/pages.py",
        "worst([row for row in rows if row.conclusion.holds])",
        "worst(rows)",
        "a failing row's quotient is called tightness",
        ("tests/verification/report/test_pages.py",),
    ),
)
