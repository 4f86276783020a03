"""Figures: drawn from stored results without warnings, their artists show what is stored, one sentence otherwise."""

import numpy as np
import pytest

from figures import __main__ as command
from figures import key_property, lazy_training, prediction, verdicts
from verification.context import PRESETS, Context


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The smoke preset's sweeps and a little evidence."""
    from verification import __main__ as verification

    out = tmp_path_factory.mktemp("results")
    wanted = ["K2", "S5", "S1b", "C5", "C7-infinite"]
    assert verification.main(["run", *wanted, "--preset", "smoke", "--out", str(out)]) == 0
    return Context(PRESETS["smoke"], 0, out)


@pytest.mark.slow
def test_all_figures_are_drawn_with_captions_and_data(context, tmp_path):
    argv = ["--results", str(context.out), "--preset", "smoke", "--out", str(tmp_path), "--csv"]
    assert command.main(argv) == 0
    written = {path.name for path in tmp_path.iterdir()}
    names, endings = command._FIGURES, ("pdf", "png", "md", "tex", "csv")
    assert written == {f"{name}.{ending}" for name in names for ending in endings}


@pytest.mark.slow
def test_lazy_training_draws_the_means_of_the_stored_values(context):
    table, figure = lazy_training.data(context), lazy_training.draw(context)
    for axes, quantity in zip(figure.axes, ("neuron_movement", "flip_fraction", "gram_movement"), strict=True):
        drawn = {line.get_label().split(":")[0]: line for line in axes.lines}
        for kind in ("digits", "sphere"):
            part = table[(table.data == kind) & (table.quantity == quantity)]
            means = part.groupby("width").value.mean()
            # The same means, once through seaborn's aggregation and once through pandas'.
            np.testing.assert_allclose(drawn[kind].get_ydata(), means.to_numpy(), rtol=1e-12)
            np.testing.assert_array_equal(drawn[kind].get_xdata(), means.index.to_numpy())


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


def test_widths_are_written_as_powers():
    assert [prediction._power(width) for width in (4096, 1000, 1500)] == ["$2^{12}$", "$10^{3}$", "1500"]


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


def test_settings_without_data_have_a_column_of_their_own():
    assert [verdicts._column(s) for s in ("digits 3 vs 8, n = 8", "sphere, n = 8", "symbolic: b = 3")] == [
        "digits", "sphere", "neither"
    ]  # fmt: skip


@pytest.mark.slow
def test_dashboard_has_one_symbol_a_row(context):
    figure = verdicts.draw(context)
    assert len(figure.axes[0].lines) == len(verdicts.data(context))


def test_missing_results_get_one_sentence_that_names_the_command(tmp_path, capsys):
    assert command.main(["--results", str(tmp_path), "--preset", "smoke"]) == 2
    error = capsys.readouterr().err
    assert "python -m verification run --preset smoke" in error
    assert error.count("\n") == 1


def test_truncated_evidence_gets_one_sentence(tmp_path):
    (tmp_path / "evidence.json").write_text('[{"claim": "K1"')
    with pytest.raises(ValueError, match="python -m verification run makes it"):
        verdicts.data(Context(PRESETS["smoke"], 0, tmp_path))
