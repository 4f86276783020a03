"""Figures: drawn from stored results without warnings, their artists show what is stored, one sentence otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest

from figures import __main__ as command
from figures import (
    certificate,
    data_sets,
    depth,
    hard_samples,
    heterogeneity,
    key_property,
    lazy_training,
    local_steps,
    loss_curves,
    prediction,
    spectrum,
    style,
    tightness,
    verdicts,
)
from verification import certified_widths, step_thresholds
from verification.context import PRESETS, Context


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The smoke preset's sweeps and a little evidence."""
    from verification import __main__ as verification

    out = tmp_path_factory.mktemp("results")
    wanted = ["K2", "S5", "S1b", "C5", "C7-infinite", "C8-widths", "K4-threshold", "C6"]
    assert verification.main(["run", *wanted, "--preset", "smoke", "--out", str(out)]) == 0
    return Context(PRESETS["smoke"], 0, out)


@pytest.mark.slow
def test_all_figures_are_drawn_with_captions_and_data(context, tmp_path):
    argv = ["--results", str(context.out), "--preset", "smoke", "--out", str(tmp_path), "--csv",
            "--missing", "run"]  # fmt: skip
    assert command.main(argv) == 0
    written = {path.name for path in tmp_path.iterdir()}
    endings = ("pdf", "png", "md", "tex", "csv")
    assert written == {f"{name}.{ending}" for name in command.FIGURES for ending in endings}
    assert all(b"/Type3" not in (tmp_path / f"{name}.pdf").read_bytes() for name in command.FIGURES)


@pytest.mark.slow
def test_lazy_training_draws_the_means_of_the_stored_values(context):
    table, figure = lazy_training.data(context), lazy_training.draw(context)
    shallow = ("neuron_movement", "frobenius_movement", "flip_fraction", "gram_movement")
    panels = [(quantity, kind, 0) for quantity in shallow for kind in ("digits", "sphere")]
    deep = ("layer_spectral_movement", "layer_flip_fraction")
    panels += [(quantity, kind, k) for quantity in deep for kind in ("digits", "sphere") for k in (1, 2, 3)]
    places = [axes for axes in figure.axes[:4] for _ in range(2)] + [axes for axes in figure.axes[4:] for _ in range(3)]
    for axes, (quantity, kind, layer) in zip(places, panels, strict=True):
        drawn = {line.get_label().split(":")[0]: line for line in axes.lines}[f"layer {layer}" if layer else kind]
        part = table[(table.data == kind) & (table.quantity == quantity) & (table.layer == layer)]
        means = part.groupby("width").value.mean()
        # The same means, once through seaborn's aggregation and once through pandas'.
        np.testing.assert_allclose(drawn.get_ydata(), means.to_numpy(), rtol=1e-12)
        np.testing.assert_array_equal(drawn.get_xdata(), means.index.to_numpy())


@pytest.mark.slow
def test_lazy_training_reads_the_deep_runs_that_decide_s4_and_s5(context):
    table = lazy_training.data(context)
    (spec, *_) = [spec for spec in lazy_training.needs(context) if spec.depth]
    run = context.run(spec)
    moved = run.layer_spectral_movement.sel(round=spec.num_rounds) / np.sqrt(2 * run.loss.sel(round=0))
    for quantity, values in (("layer_spectral_movement", moved), ("layer_flip_fraction",
                              run.layer_flip_fraction.sel(round=spec.num_rounds))):  # fmt: skip
        for place in range(spec.depth):
            part = table[(table.quantity == quantity) & (table.width == spec.width) & (table.data == "digits")]
            stored = values.isel(layer=place).values
            np.testing.assert_allclose(part[part.layer == place + 1].value, stored, rtol=1e-12)
            assert (stored > 0).all()


@pytest.mark.slow
def test_depth_draws_the_implied_constants_of_the_stored_values(context):
    table, figure = depth.data(context), depth.draw(context)
    specs = depth.needs(context)
    assert len({context.path(spec) for spec in specs}) == len(specs)
    spec = specs[0]
    run, samples = context.run(spec), spec.num_samples
    width, layers, omega = spec.width, spec.depth, spec.radius
    separation = context.deep_problems()[0].dataset.separation
    # The bounds, written out once more.
    by_hand = {
        "D1": run.norms / np.sqrt(layers * np.log(samples * layers / 0.05) / width),
        "D2-upper": 2 * run.largest / (layers * samples * width),
        "D2-lower": 2 * run.smallest / (width * separation / samples**2),
        "D5": run.error * np.sqrt(width),
        "D3": run.flips.sel(how="adversarial") / (width * layers * omega ** (2 / 3)),
        "D4": run.moved.sel(how="adversarial") / (omega * layers**2.5 * np.sqrt(np.log(width))),
    }
    for claim, constants in by_hand.items():
        part = table[(table.claim == claim) & (table.data == "digits") & (table.over == "m") & (table.width == width)]
        np.testing.assert_allclose(part[part.how != "random"].constant, constants, rtol=1e-12)
    assert len(figure.axes) == 2 * len(by_hand)
    drawn = [line.get_ydata() for axes in figure.axes for line in axes.lines]
    curves = table.groupby(["claim", "data", "how", "over"], sort=False)
    assert len(drawn) == curves.ngroups
    for (*_, over), part in curves:
        means = part.groupby("width" if over == "m" else "depth").constant.mean().to_numpy()
        assert any(len(values) == len(means) and np.allclose(values, means, rtol=1e-12) for values in drawn)


@pytest.mark.slow
def test_prediction_draws_the_stored_losses_and_mean_errors(context):
    losses, errors = prediction.draw(context).axes
    specs = [spec for spec in prediction.needs(context) if spec.kind == "digits"]
    for spec, drawn in zip(specs, zip(losses.lines[::2], losses.lines[1::2], strict=True), strict=True):
        run = context.run(spec)
        np.testing.assert_array_equal(drawn[0].get_ydata(), run.predicted_loss[0].sel(predictor="network"))
        np.testing.assert_array_equal(drawn[1].get_ydata(), run.loss[0])
    means = [float(context.run(spec).error.sel(predictor="network").mean()) for spec in specs]
    (line,) = [line for line in errors.lines if line.get_label().startswith(r"digits, $\Theta")]
    # The same means, once through seaborn's aggregation and once through xarray's.
    np.testing.assert_allclose(line.get_ydata(), means, rtol=1e-12)


def test_figures_show_two_data_sets_however_many_a_preset_has(monkeypatch):
    context = Context(PRESETS["smoke"], 0, None)
    kinds = {"problems": ["digits", "pairs 0.2", "sphere"], "deep_problems": ["planted 0.4", "digits10", "digits"]}
    for method, names in kinds.items():
        found = [SimpleNamespace(kind=kind) for kind in names]
        monkeypatch.setattr(Context, method, lambda *_, found=found: found)
    assert [made.kind for made in data_sets.problems(context, 8)] == ["digits", "sphere"]
    assert [data_sets.data_name(made.kind) for made in data_sets.deep_problems(context)] == ["sphere", "digits"]


def test_widths_are_written_as_powers():
    assert [style.power(width) for width in (4096, 1000, 1500)] == ["$2^{12}$", "$10^{3}$", "1500"]


@pytest.mark.slow
def test_certificate_draws_stored_rates_and_widths(context):
    rates, widths = certificate.draw(context).axes
    for spec, lines in zip(certificate.needs(context), (rates.lines[:4], rates.lines[4:8]), strict=True):
        run, (observed, kernel, certified, lacking) = context.run(spec), lines
        norms = run.residual_norm.values
        np.testing.assert_array_equal(observed.get_ydata(), (norms[:, 1:] / norms[:, :-1]).mean(axis=0))
        assert kernel.get_ydata()[0] == run.kernel_rate.values.mean()
        whole = (run.certified == 1).all("seed").values
        np.testing.assert_array_equal(certified.get_xdata(), run.attempt.values[whole])
        np.testing.assert_array_equal(certified.get_ydata(), run.certified_rate.values[:, whole].mean(axis=0))
        np.testing.assert_array_equal(lacking.get_xdata(), run.attempt.values[~whole])
    stored = certified_widths.stored_widths(context)
    asked, needed, measured = (float(line.get_ydata()[0]) for line in widths.lines)
    assert (asked, needed) == (float(stored.asked[0]), float(stored.certified[0].max()))
    assert measured == float(stored.measured[0].max())
    (row,) = (row for row in verdicts.evidence(context) if row.claim == "C8-widths")
    assert (asked, needed) == (row.bound, row.measured)


@pytest.mark.slow
def test_spectrum_draws_stored_eigenvalues_under_the_bounds(context):
    left, middle, right = spectrum.draw(context).axes
    for k, made in enumerate(context.problems(8)):
        run, *initial = [context.run(spec) for spec in spectrum.needs(context) if spec.kind == made.kind]
        lower = run.smallest_eigenvalue.sel(bound="lower").values / made.lambda0.upper
        np.testing.assert_allclose(left.lines[k].get_ydata(), lower.mean(axis=0), rtol=1e-12)
        # Bars hold every eigenvalue: their heights add up to n a seed.
        for stairs in middle.patches[2 * k : 2 * k + 2]:
            assert stairs.get_data().values.sum() == pytest.approx(made.num_samples)
        np.testing.assert_allclose(middle.lines[k].get_xdata(), np.linalg.eigvalsh(made.gram), rtol=1e-12)
        measured, hoeffding, drop, chernoff = (line.get_ydata() for line in right.lines[4 * k : 4 * k + 4])
        for drawn, name, bound in ((measured, "distance", hoeffding), (drop, "drop", chernoff)):
            np.testing.assert_allclose(drawn, [np.percentile(at[name], 95) for at in initial], rtol=1e-12)
            assert (drawn < bound).all()


@pytest.mark.slow
def test_local_steps_are_drawn_by_rounds_and_by_gradient_steps(context):
    panels = local_steps.draw(context).axes
    for k, spec in enumerate(local_steps.needs(context)):
        run, curve = context.run(spec), k % 2
        for axes, scale in zip(panels[k // 2 * 2 : k // 2 * 2 + 2], (1, spec.local_steps), strict=True):
            trained, predicted = axes.lines[2 * curve : 2 * curve + 2]
            np.testing.assert_array_equal(trained.get_xdata(), scale * run["round"].values)
            np.testing.assert_allclose(trained.get_ydata(), run.loss.mean("seed"), rtol=1e-12)
            np.testing.assert_allclose(predicted.get_ydata(), run.predicted_loss.mean("seed"), rtol=1e-12)


@pytest.mark.slow
def test_loss_curves_are_the_means_of_stored_losses(context):
    specs = loss_curves.needs(context)
    lines = [line for axes in loss_curves.draw(context).axes for line in axes.lines]
    for spec, trained, predicted in zip(specs, lines[::2], lines[1::2], strict=True):
        run = context.run(spec)
        np.testing.assert_allclose(trained.get_ydata(), run.loss.mean("seed"), rtol=1e-12)
        np.testing.assert_allclose(predicted.get_ydata(), run.predicted_loss.mean("seed"), rtol=1e-12)


@pytest.mark.slow
def test_heterogeneity_draws_final_losses_and_rates(context):
    left, right = heterogeneity.draw(context).axes
    specs = heterogeneity.needs(context)
    for k, kind in enumerate(("digits", "sphere")):
        runs = [context.run(spec) for spec in specs if spec.kind == kind]
        shares = [float((run.loss[:, -1] / run.loss[:, 0]).mean()) for run in runs]
        np.testing.assert_allclose(left.lines[2 * k].get_ydata(), shares, rtol=1e-12)
        # Four rounds: the residual's norm shrinks by the fourth root of the loss ratio over the last two.
        rates = [1 - float(((run.loss[:, -1] / run.loss[:, 2]) ** 0.25).mean()) for run in runs]
        np.testing.assert_allclose(right.lines[3 * k].get_ydata(), rates, rtol=1e-12)
        limits = [1 - float(run.kernel_rate.mean()) for run in runs]
        np.testing.assert_allclose(right.lines[3 * k + 2].get_ydata(), limits, rtol=1e-12)


@pytest.mark.slow
def test_hard_samples_are_those_with_the_largest_stored_residuals(context):
    (spec,) = hard_samples.needs(context)
    (made, *_) = context.problems(8)
    residuals = np.abs(context.run(spec).residual.values).mean(axis=0)
    panels = hard_samples.draw(context).axes
    columns = len(panels) // 2
    for panel, sample in zip(panels[: columns - 1], np.argsort(-residuals), strict=False):
        np.testing.assert_array_equal(panel.images[0].get_array().ravel(), made.inputs[sample])
        assert panel.get_title() == f"$|f-y|={residuals[sample]:.2f}$"
    for panel, sample in zip(panels[columns - 1 :: columns], np.argsort(-_slowest(made))[:2], strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array().ravel(), made.inputs[sample])


def _slowest(made):
    return np.linalg.eigh(made.gram)[1][:, 0] ** 2


def test_settings_of_every_kind_have_a_column():
    settings = ("digits, n = 8", "sphere with a pair", "random runs, ball method", "symbolic: b = 3", "")
    assert [verdicts._column(text) for text in settings] == ["digits", "sphere", "other", "other", "other"]


@pytest.mark.slow
def test_key_property_draws_every_stored_pair_and_the_kink_explodes(context):
    table, figure = key_property.data(context), key_property.draw(context)
    along = table[table["where"] == "along the run"]
    scatter = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in scatter) == len(along)
    kink = table[(table["where"] == "across a kink") & (table.data == "sphere")].sort_values("distances")
    quotient = (kink.gradients / kink.distances).to_numpy()
    assert quotient[0] > 1e6 * (along.gradients / along.distances).max()
    # Between 1e-8 and 1e-4 nothing but one flip changes, so that the quotient is as the inverse square.
    np.testing.assert_allclose(quotient[0] / quotient[4], (kink.distances.iloc[4] / kink.distances.iloc[0]), rtol=0.1)


@pytest.mark.slow
def test_tightness_map_draws_stored_exponents_and_step_sizes(context):
    left, right = tightness.draw(context).axes
    table = tightness.data(context)
    rows = table[table.quantity == "exponent"]
    drawn = [line.get_xdata()[0] for line in left.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(drawn, rows.value)
    np.testing.assert_array_equal(
        [line.get_xdata()[0] for line in left.lines if line.get_marker() == "s"], rows["asked"]
    )
    stored = step_thresholds.stored_steps(context, "planted", 256, "rate")
    (line,) = [line for line in right.lines if line.get_linestyle() == "--"]
    # The same geometric means, once through pandas' groups and once through xarray's dimensions.
    np.testing.assert_allclose(line.get_ydata(), np.exp(np.log(stored.threshold).mean("repeat")), rtol=1e-12)
    np.testing.assert_array_equal(line.get_xdata(), stored["at"][0])


@pytest.mark.slow
def test_dashboard_has_one_symbol_a_row(context):
    figure = verdicts.draw(context)
    assert len(figure.axes[0].lines) == len(verdicts.data(context))


def test_missing_results_get_one_sentence_that_names_the_command(tmp_path, capsys):
    assert command.main(["--results", str(tmp_path), "--preset", "smoke"]) == 2
    error = capsys.readouterr().err
    assert "python -m verification run --preset smoke" in error
    assert "python -m figures --missing run --preset smoke" in error
    assert error.count("\n") == 1


def test_a_truncated_run_gets_one_sentence_that_names_the_command(tmp_path, capsys):
    context = Context(PRESETS["smoke"], 0, tmp_path)
    path = context.path(loss_curves.needs(context)[0])
    path.parent.mkdir()
    path.write_bytes(b"\x89HDF\r\n\x1a\n cut short")
    assert command.main(["--results", str(tmp_path), "--preset", "smoke"]) == 2
    error = capsys.readouterr().err
    assert path.name in error
    assert "python -m figures --missing run --preset smoke" in error
    assert error.count("\n") == 1


def test_truncated_evidence_gets_one_sentence(tmp_path):
    (tmp_path / "evidence.json").write_text('[{"claim": "K1"')
    with pytest.raises(ValueError, match="python -m verification run --preset smoke"):
        verdicts.data(Context(PRESETS["smoke"], 0, tmp_path))
