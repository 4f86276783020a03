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
)
