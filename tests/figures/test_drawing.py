"""Figures: drawn from stored results without warnings, their artists show what is stored, one sentence otherwise."""

import json

import numpy as np
import pytest
import xarray as xr

from figures import commands as command
from figures import data_sets, style, verdicts
from figures.figure import discover
from ntk_localsgd.evidence import read_evidence
from verification import papers, registry
from verification.context import Context
from verification.engine import compute
from verification.presets import PRESETS
from verification.store import Store

CONTEXT = Context(PRESETS["smoke"], 0)
FIGURES = discover()
KINDS = [problem.source.label for problem in data_sets.problems(CONTEXT, 8)]
DEEP_KINDS = [problem.source.label for problem in data_sets.deep_problems(CONTEXT)]


@pytest.fixture(scope="module")
def results(smoke):
    """What all figures need: most of it from the smoke run."""
    registry.discover()
    jobs = [job for figure in FIGURES.values() for job in figure.needs(CONTEXT)]
    return compute(jobs, Store(smoke[0] / "runs"))


@pytest.fixture(scope="module")
def shown(results):
    """Jobs, table and picture of a figure, by its name."""
    made = {}

    def of(name):
        if name not in made:
            figure = FIGURES[name]
            table = figure.data(CONTEXT, results.only(figure.needs(CONTEXT)))
            made[name] = list(figure.needs(CONTEXT)), table, figure.draw(CONTEXT, table)
        return made[name]

    return of


@pytest.mark.slow
def test_all_figures_are_drawn_with_captions_data_and_an_index(smoke, results, tmp_path):
    argv = ["--results", str(smoke[0]), "--preset", "smoke", "--out", str(tmp_path), "--csv", "--dpi", "40"]
    assert command.main(argv) == 0
    written = {path.name for path in tmp_path.iterdir()}
    endings = ("pdf", "png", "md", "tex", "csv")
    assert written == {f"{name}.{ending}" for name in FIGURES for ending in endings} | {"index.json"}
    assert all(b"/Type3" not in (tmp_path / f"{name}.pdf").read_bytes() for name in FIGURES)
    assert set(json.loads((tmp_path / "index.json").read_text())) == set(FIGURES)


def test_every_figure_names_a_paper_and_claims_that_there_are():
    registry.discover()
    known = {paper.name for paper, _ in registry.papers()}
    assert len(FIGURES) >= 12
    for name, figure in FIGURES.items():
        assert figure.paper in known or figure is verdicts.FIGURE, name
        assert all(registry.select([claim]) for claim in figure.claims), name


@pytest.mark.slow
def test_lazy_training_draws_the_means_of_the_stored_values(results, shown):
    jobs, table, figure = shown("lazy_training")
    shallow = ("neuron_movement", "frobenius_movement", "flip_fraction", "gram_movement")
    panels = [(quantity, kind, 0) for quantity in shallow for kind in KINDS]
    deep = ("layer_spectral_movement", "layer_flip_fraction")
    panels += [(quantity, kind, k) for quantity in deep for kind in DEEP_KINDS for k in (1, 2, 3)]
    places = [axes for axes in figure.axes[:4] for _ in KINDS] + [axes for axes in figure.axes[4:] for _ in range(3)]
    for axes, (quantity, kind, layer) in zip(places, panels, strict=True):
        line = {line.get_label().split(":")[0]: line for line in axes.lines}[f"layer {layer}" if layer else kind]
        part = table[(table.data == kind) & (table.quantity == quantity) & (table.layer == layer)]
        means = part.groupby("width").value.mean()
        # The same means, once through seaborn's aggregation and once through pandas'.
        np.testing.assert_allclose(line.get_ydata(), means.to_numpy(), rtol=1e-12)
        np.testing.assert_array_equal(line.get_xdata(), means.index.to_numpy())
    job = next(job for job in jobs if job.depth)
    run = results[job]
    moved = run.layer_spectral_movement.sel(round=job.num_rounds) / np.sqrt(2 * run.loss.sel(round=0))
    flipped = run.layer_flip_fraction.sel(round=job.num_rounds)
    for quantity, values in (("layer_spectral_movement", moved), ("layer_flip_fraction", flipped)):
        for place in range(job.depth):
            part = table[(table.quantity == quantity) & (table.width == job.width) & (table.data == job.data.label)]
            stored = values.isel(layer=place).values
            np.testing.assert_allclose(part[part.layer == place + 1].value, stored, rtol=1e-12)
            assert (stored > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_what_is_to_be_seen_in_it(name, results):
    figure = FIGURES[name]
    table = figure.data(CONTEXT, results.only(figure.needs(CONTEXT)))
    heading = figure.picture(CONTEXT, table).get_suptitle()
    assert len(heading) > 40
    assert heading.count("\n") <= 2


def test_figures_show_two_data_sets_however_many_a_preset_has():
    context = Context(PRESETS["full"], 0)
    assert [problem.source.kind for problem in data_sets.problems(context, 8)] == ["digits", "sphere"]
    assert [problem.source.label for problem in data_sets.deep_problems(context)] == ["digits", "sphere"]


def test_widths_are_written_as_powers():
    assert [style.power(width) for width in (4096, 1000, 1500)] == ["$2^{12}$", "$10^{3}$", "1500"]


@pytest.mark.slow
def test_certificate_draws_stored_rates_and_widths(smoke, results, shown):
    jobs, _, figure = shown("certificate")
    rates, widths = figure.axes
    for k, job in enumerate(jobs[: len(KINDS)]):
        run, (observed, kernel, certified, lacking) = results[job], rates.lines[4 * k : 4 * k + 4]
        norms = run.residual_norm.values
        np.testing.assert_array_equal(observed.get_ydata(), (norms[:, 1:] / norms[:, :-1]).mean(axis=0))
        assert kernel.get_ydata()[0] == run.kernel_rate.values.mean()
        whole = (run.certified == 1).all("seed").values
        np.testing.assert_array_equal(certified.get_xdata(), run.attempt.values[whole])
        np.testing.assert_array_equal(certified.get_ydata(), run.certified_rate.values[:, whole].mean(axis=0))
        np.testing.assert_array_equal(lacking.get_xdata(), run.attempt.values[~whole])
    asked, needed, _ = (dict(zip(*line.get_data(), strict=True)) for line in widths.lines)
    rows = [row for row in read_evidence(smoke[0] / "evidence.json")[1] if row.claim == "C8-widths"]
    numbers = {row.setting["n"]: (row.bound, row.measured) for row in rows}
    assert numbers
    assert {n: (asked[n], needed[n]) for n in numbers} == numbers


@pytest.mark.slow
def test_the_frontier_draws_the_scales_that_are_stored(results, shown):
    jobs, table, figure = shown("frontier")
    assert len(table) == sum(len(job.seeds) for job in jobs)
    by_samples = figure.axes[0]
    shallow = [job for job in jobs if job.depth is None]
    drawn = by_samples.lines[0]
    assert drawn.get_xdata().tolist() == [job.data.num_samples for job in shallow]
    assert drawn.get_ydata().tolist() == [float(results[job].scale.max()) for job in shallow]


@pytest.mark.slow
def test_spectrum_draws_stored_eigenvalues_under_the_bounds(results, shown):
    jobs, _, figure = shown("spectrum")
    left, middle, right = figure.axes
    for k, problem in enumerate(CONTEXT.problems(8)):
        run, *initial = [results[job] for job in jobs if job.training.data == problem.source]
        lower = run.smallest_eigenvalue.sel(bound="lower").values / problem.lambda0.upper
        np.testing.assert_allclose(left.lines[k].get_ydata(), lower.mean(axis=0), rtol=1e-12)
        # Bars hold every eigenvalue: their heights add up to n a seed.
        for stairs in middle.patches[2 * k : 2 * k + 2]:
            assert stairs.get_data().values.sum() == pytest.approx(problem.num_samples)
        np.testing.assert_allclose(middle.lines[k].get_xdata(), np.linalg.eigvalsh(problem.gram), rtol=1e-12)
        measured, hoeffding, drop, chernoff = (line.get_ydata() for line in right.lines[4 * k : 4 * k + 4])
        for line, name, bound in ((measured, "distance", hoeffding), (drop, "drop", chernoff)):
            np.testing.assert_allclose(line, [np.percentile(at[name], 95) for at in initial], rtol=1e-12)
            assert (line < bound).all()


@pytest.mark.slow
def test_local_steps_are_drawn_by_rounds_and_by_gradient_steps(results, shown):
    jobs, _, figure = shown("local_steps")
    for k, job in enumerate(jobs):
        run, curve = results[job], k % 2
        for axes, scale in zip(figure.axes[k // 2 * 2 : k // 2 * 2 + 2], (1, job.training.local_steps), strict=True):
            trained, predicted = axes.lines[2 * curve : 2 * curve + 2]
            np.testing.assert_array_equal(trained.get_xdata(), scale * run["round"].values)
            np.testing.assert_allclose(trained.get_ydata(), run.loss.mean("seed"), rtol=1e-12)
            np.testing.assert_allclose(predicted.get_ydata(), run.predicted_loss.mean("seed"), rtol=1e-12)


@pytest.mark.slow
def test_loss_curves_are_the_means_of_stored_losses(results, shown):
    jobs, _, figure = shown("loss_curves")
    lines = [line for axes in figure.axes for line in axes.lines]
    for job, trained, predicted in zip(jobs, lines[::2], lines[1::2], strict=True):
        run = results[job]
        np.testing.assert_allclose(trained.get_ydata(), run.loss.mean("seed"), rtol=1e-12)
        np.testing.assert_allclose(predicted.get_ydata(), run.predicted_loss.mean("seed"), rtol=1e-12)


@pytest.mark.slow
def test_heterogeneity_draws_final_losses_and_rates(results, shown):
    jobs, _, figure = shown("heterogeneity")
    left, right = figure.axes
    for k, kind in enumerate(KINDS):
        runs = [results[job] for job in jobs if job.training.data.label == kind]
        shares = [float((run.loss[:, -1] / run.loss[:, 0]).mean()) for run in runs]
        np.testing.assert_allclose(left.lines[2 * k].get_ydata(), shares, rtol=1e-12)
        # Four rounds: the residual's norm shrinks by the fourth root of the loss ratio over the last two.
        rates = [1 - float(((run.loss[:, -1] / run.loss[:, 2]) ** 0.25).mean()) for run in runs]
        np.testing.assert_allclose(right.lines[3 * k].get_ydata(), rates, rtol=1e-12)
        limits = [1 - float(run.kernel_rate.mean()) for run in runs]
        np.testing.assert_allclose(right.lines[3 * k + 2].get_ydata(), limits, rtol=1e-12)


def test_rates_are_of_rounds_before_the_loss_meets_its_rounding():
    losses = np.array([1, 1e-3, 1e-6, 1e-9, 1e-11])  # a thousandth a round, and at the end a floor
    planted = xr.Dataset(
        {
            "loss": (("seed", "round"), np.tile(losses, (2, 1))),
            "predicted_loss": (("seed", "round"), np.tile(1e-3 ** np.arange(5.0), (2, 1))),
            "kernel_rate": ("seed", np.full(2, 0.5)),
        }
    )
    figure = FIGURES["heterogeneity"]
    table = figure.data(CONTEXT, dict.fromkeys(figure.needs(CONTEXT), planted))
    np.testing.assert_allclose(table.value[table.quantity.isin(["rate", "predicted rate"])], 10**-1.5, rtol=1e-12)


@pytest.mark.slow
def test_hard_samples_are_those_with_the_largest_stored_residuals(results, shown):
    (job,), _, figure = shown("hard_samples")
    problem = job.training.problem
    residuals = np.abs(results[job].residual.values).mean(axis=0)
    panels = figure.axes
    columns = len(panels) // 2
    for panel, sample in zip(panels[: columns - 1], np.argsort(-residuals), strict=False):
        np.testing.assert_array_equal(panel.images[0].get_array().ravel(), problem.inputs[sample])
        assert panel.get_title() == f"$|f-y|={residuals[sample]:.2f}$"
    slowest = np.linalg.eigh(problem.gram)[1][:, 0] ** 2
    for panel, sample in zip(panels[columns - 1 :: columns], np.argsort(-slowest)[:2], strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array().ravel(), problem.inputs[sample])


@pytest.mark.slow
def test_the_dashboard_has_one_symbol_a_row_of_evidence(smoke, shown):
    _, table, figure = shown("verdicts")
    rows = read_evidence(smoke[0] / "evidence.json")[1]
    assert sorted(zip(table.claim, table.verdict, strict=True)) == sorted((row.claim, str(row.verdict)) for row in rows)
    assert sum(len(axes.lines) for axes in figure.axes) == len(rows)


@pytest.mark.slow
def test_the_tightness_map_draws_stored_exponents_and_step_sizes(shown):
    _, table, figure = shown("tightness")
    left, right = figure.axes
    rows = table[table.quantity == "exponent"]
    dots = [line.get_xdata()[0] for line in left.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(dots, rows.value)
    squares = [line.get_xdata()[0] for line in left.lines if line.get_marker() == "s"]
    np.testing.assert_array_equal(squares, rows["asked"])
    rates = table[(table.quantity == "rate") & (table.data == "planted")]
    (line,) = [line for line in right.lines if line.get_linestyle() == "--"]
    means = np.exp(np.log(rates.value.astype(float)).groupby(rates.x).mean())
    np.testing.assert_allclose(line.get_ydata(), means, rtol=1e-12)


def test_missing_results_get_one_sentence_that_names_the_commands(tmp_path, capsys):
    assert command.main(["hard_samples", "--results", str(tmp_path), "--preset", "smoke"]) == 2
    error = capsys.readouterr().err
    assert "lack 1 of 1" in error
    assert "python -m verification run --preset smoke" in error
    assert "python -m figures hard_samples --missing run --preset smoke" in error
    assert error.count("\n") == 1
    assert command.main(["nothing"]) == 2
    assert "nothing" in capsys.readouterr().err


def test_a_figure_computes_only_what_it_needs_and_what_is_damaged_and_the_index_keeps_earlier_ones(tmp_path):
    (job,) = FIGURES["hard_samples"].needs(CONTEXT)
    path = Store(tmp_path / "runs").path(job)
    path.parent.mkdir()
    path.write_bytes(b"\x89HDF\r\n\x1a\n cut short")
    earlier = tmp_path / "figures" / "depth.md"
    earlier.parent.mkdir()
    earlier.write_text("Drawn before.\n")
    argv = ["hard_samples", "--results", str(tmp_path), "--preset", "smoke", "--missing", "run", "--formats", "png"]
    assert command.main(argv) == 0
    assert path.with_name(f"{path.name}.damaged").exists()
    assert list((tmp_path / "runs").glob("*.nc")) == [path]
    assert not (tmp_path / "evidence.json").exists()
    assert set(json.loads((earlier.parent / "index.json").read_text())) == {"depth", "hard_samples"}
    written = {path.name for path in earlier.parent.iterdir()} - {earlier.name}
    assert written == {"hard_samples.png", "hard_samples.md", "hard_samples.tex", "index.json"}


def test_the_committed_gallery_has_every_figure_and_its_paper():
    from verification.report.pages import SUMMARY
    from verification.report.pages import gallery as pictures

    folder = command.GALLERY
    shown = pictures(folder, folder)
    assert {picture.name: picture.paper for picture in shown} == {n: f.paper for n, f in FIGURES.items()}
    assert [picture.name for picture in shown if picture.paper == SUMMARY] == ["verdicts"]
    assert papers.DENG.name in {picture.paper for picture in shown}
