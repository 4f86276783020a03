"""Claims: discovered, registered once, selected by id or paper; their rows are theirs and stamped."""

import dataclasses
import importlib

import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Condition, Control, Evidence
from tests.verification.rows import Doubled, row
from verification import papers, registry
from verification.context import Context
from verification.engine import Results, compute
from verification.jobs.drift import DriftRatio
from verification.presets import PRESETS
from verification.report import pages
from verification.store import Store

CONTEXT = Context(PRESETS["smoke"], 5)


@pytest.fixture(autouse=True)
def _discovered():
    registry.discover()


@pytest.fixture
def claim():
    """Registers a claim whose judge yields what it is told, and forgets it."""

    def register(*rows, needs=registry.no_jobs):
        def judge(context, results):
            yield from (entry(results) if callable(entry) else entry for entry in rows)

        registry.claim("MINE", "x", letter="D", source="me", needs=needs)(judge)
        return registry.CLAIMS["MINE"]

    yield register
    registry.CLAIMS.pop("MINE", None)


def test_rows_are_stamped(claim):
    (found,) = claim(row("")).rows(CONTEXT, Results({}))
    assert (found.claim, found.preset, found.seed) == ("MINE", "smoke", 5)
    assert found.device
    assert len(found.code) == 12


@pytest.mark.parametrize(
    ("rows", "named"),
    [((), "yields no row"), ((row("K1"),), "row of 'K1'"), ((3,), "yields a int"), ((None,), "yields a NoneType")],
)
def test_no_row_another_claim_s_row_or_no_evidence_is_refused_by_name(claim, rows, named):
    with pytest.raises(InputError, match=named) as caught:
        claim(*rows).rows(CONTEXT, Results({}))
    assert "MINE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_claim_reads_only_the_jobs_that_it_needs(claim, tmp_path):
    results = compute([Doubled(1.0), Doubled(2.0)], Store(tmp_path))

    def reading(value):
        return lambda found: row("", measured=float(found[Doubled(value)].twice) / 10)

    def one_job(context):
        return [Doubled(1.0)]

    entry = claim(reading(1.0), needs=one_job)
    assert entry.rows(CONTEXT, results)[0].measured == 0.2
    registry.CLAIMS.pop("MINE")
    other = claim(reading(2.0), needs=one_job)
    with pytest.raises(InputError, match="name every job"):
        other.rows(CONTEXT, results)


def test_an_id_selects_its_parts_but_not_longer_numbers():
    chosen = {entry.id for entry in registry.select(["K4"])}
    assert {"K4a", "K4a-many", "K4a-width", "K4b", "K4b-many", "K4-threshold"} == chosen
    assert [entry.id for entry in registry.select(["K1"])] == ["K1"]
    assert [entry.id for entry in registry.select(["C8"])] == ["C8"]  # itself a claim: alone
    parts = {entry.id for entry in registry.select(["C8-"])}
    assert {"C8-run", "C8-traps", "C8-widths"} <= parts
    assert all(name.startswith("C8-") for name in parts)
    assert registry.is_part("S1a", "S1")
    assert not registry.is_part("S10", "S1")


def test_a_paper_selects_its_claims_and_no_name_selects_all():
    chosen = registry.select([papers.DU.name])
    assert {"K2", "K5", "S4", "S6", "C1"} <= {entry.id for entry in chosen}
    assert all(entry.paper is papers.DU for entry in chosen)
    assert len(registry.select([])) == len(registry.CLAIMS)
    with pytest.raises(InputError, match="du2019"):
        registry.select(["Z9"])
    with pytest.raises(InputError, match=r"did you mean K4a-width\?"):
        registry.select(["K4a-widht"])


def test_a_folder_without_an_init_is_discovered_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "new_paper").mkdir()
    code = "from verification.registry import claim\nclaim('MINE', 'x', letter='D', source='me')(lambda *_: ())\n"
    (tmp_path / "new_paper" / "first.py").write_text(code)
    package = importlib.import_module("verification.claims")
    monkeypatch.setattr(package, "__path__", [str(tmp_path)])
    try:
        registry.discover()
        assert registry.CLAIMS["MINE"].judge.__module__ == "verification.claims.new_paper.first"
    finally:
        registry.CLAIMS.pop("MINE", None)


def test_the_order_is_by_paper_and_natural_number():
    entries = registry.in_order()
    positions = [entry.paper.position for entry in entries]
    assert positions == sorted(positions)
    names = [entry.id for entry in entries if entry.paper is papers.OWN]
    assert names.index("C7") < names.index("C8")
    assert names.index("C8") < names.index("C8-run")


def test_a_claim_is_registered_once_with_a_known_letter():
    with pytest.raises(InputError, match="letter"):
        registry.claim("X1", "", letter="Q", source="")
    with pytest.raises(InputError, match="twice"):
        registry.claim("K1", "", letter="P", source="")(lambda *_: ())


def test_every_claim_of_the_project_has_a_paper_and_plain_jobs():
    for entry in registry.in_order():
        assert entry.paper is not papers.OTHER, entry.id
        assert not entry.is_users
        for job in entry.needs(CONTEXT):
            assert dataclasses.is_dataclass(job)
            assert type(job).__module__.startswith("verification.jobs."), entry.id


def test_no_two_seeds_of_a_run_share_a_seed_of_any_job():
    """Fresh seeds are fresh: of all jobs, what was drawn for --seed 0 is not drawn for --seed 1."""

    def seeds(seed):
        context = Context(PRESETS["smoke"], seed)
        jobs = [job for entry in registry.in_order() for job in entry.needs(context)]
        return {value for job in jobs for value in getattr(job, "seeds", ())}

    first, second = seeds(0), seeds(1)
    assert first
    assert second
    assert not first & second


def test_a_claim_that_says_how_is_searched_for_counterexamples(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "CLAIMS", {})

    def judge(context, results):
        yield Evidence({"n": 1}, Condition("", True), Condition("", True), "≤", 0.5, 1.0, Control("twice", True, 2.0))

    registry.claim("MINE", "x", letter="C", source="me", attack={"small": DriftRatio(1, 2, 2, 1)})(judge)
    (entry,) = registry.CLAIMS.values()
    plain, attacked = (Context(PRESETS["smoke"], 0, attack) for attack in (False, True))
    assert entry.jobs(plain) == ()
    (search,) = entry.jobs(attacked)
    results = compute([search], Store(tmp_path))
    rows = entry.rows(attacked, results)
    assert [row.searched for row in rows] == [0, search.restarts * search.steps]
    assert rows[1].claim == "MINE"
    assert rows[1].tightness == pytest.approx(1, abs=1e-3)
    assert "searched for" in pages.searched(rows[1])
    assert len(entry.rows(plain, compute([], Store(tmp_path)))) == 1
