"""Figures of results that workers or a cluster have computed: on another device than this process."""

from figures import commands as command
from figures import hard_samples
from ntk_localsgd import results
from ntk_localsgd.evidence import Header, write_evidence
from verification.context import Context
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
