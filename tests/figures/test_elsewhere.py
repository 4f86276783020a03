"""Figures of results that workers or a cluster have computed: on another device than this process."""

from figures import commands as command
from figures import hard_samples
from ntk_localsgd import results
from ntk_localsgd.evidence import Header, write_evidence
from verification.context import Context
from verification.engine import compute
from verification.presets import PRESETS
from verification.store import Store


def test_a_figure_is_drawn_from_results_of_the_device_that_the_evidence_names(tmp_path, capsys):
    store = Store(tmp_path / "runs", device="another device")
    (tmp_path / "runs").mkdir()
    for job in hard_samples.FIGURE.needs(Context(PRESETS["smoke"], 0)):
        store.save(job, results.measured(job, job.compute, device="another device"))
    argv = ["hard_samples", "--results", str(tmp_path), "--preset", "smoke", "--formats", "png"]
    assert command.main(argv) == 2  # nothing says that these are to be read
    assert "lack 1 of 1" in capsys.readouterr().err
    write_evidence(tmp_path / "evidence.json", Header("smoke", 0, "another device", "", {}, {}), [])
    assert command.main(argv) == 0
    assert (tmp_path / "figures" / "hard_samples.png").exists()


def test_what_another_device_has_computed_is_not_computed_again(tmp_path, monkeypatch):
    store = Store(tmp_path / "runs", device="another device")
    (tmp_path / "runs").mkdir()
    (elsewhere,) = hard_samples.FIGURE.needs(Context(PRESETS["smoke"], 0))
    store.save(elsewhere, results.measured(elsewhere, elsewhere.compute, device="another device"))
    write_evidence(tmp_path / "evidence.json", Header("smoke", 0, "another device", "", {}, {}), [])
    computed = []
    monkeypatch.setattr(
        command, "compute", lambda jobs, store: computed.append((list(jobs), store.device)) or compute(jobs, store)
    )
    argv = ["hard_samples", "depth_limit", "--results", str(tmp_path), "--preset", "smoke", "--formats", "png"]
    assert command.main([*argv, "--missing", "run"]) == 0
    (there, device), (here, own) = computed
    assert (there, device, own) == ([elsewhere], "another device", None)
    assert here
    assert elsewhere not in here
    assert command.main(argv) == 0  # now everything is there, on one device or the other
