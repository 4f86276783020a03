"""The figure of one's own trajectory shows all that it holds."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from figures.trajectory import draw
from ntk_localsgd import local_sgd
from tests.helpers import problem

NET, DATA, SPLIT = problem()
RUN = local_sgd.run(
    NET,
    DATA,
    SPLIT,
    local_sgd.LocalSGD(0.3, 2, 6),
    observe=("frobenius_movement", "layer_flip_fraction", "client_drift", "smallest_eigenvalue", "gradient_norm"),
    gram_every=3,
)


def test_everything_recorded_is_drawn_where_it_belongs():
    figure = draw(dataclasses.replace(RUN, trajectory=RUN.trajectory.assign(predicted_loss=2 * RUN.trajectory.loss)))
    panels = {axes.get_ylabel(): axes for axes in figure.axes}
    assert len(panels) == 6
    assert len(draw(RUN.trajectory[["loss", "client_drift", "gradient_norm", "frobenius_movement"]]).axes) == 4
    trained, predicted = panels["loss"].lines
    np.testing.assert_array_equal(trained.get_ydata(), RUN.trajectory.loss)
    np.testing.assert_array_equal(predicted.get_ydata(), 2 * RUN.trajectory.loss)
    assert panels["loss"].get_yscale() == "log"
    assert [line.get_label() for line in panels["client drift"].lines] == [f"client {c}" for c in range(3)]
    np.testing.assert_array_equal(
        panels["client drift"].lines[1].get_ydata(), RUN.trajectory.client_drift.isel(local_step=-1, client=1)
    )
    (eigenvalue,) = panels[r"$\lambda_{\min}(\Theta(W(t)))$"].lines
    assert eigenvalue.get_xdata().tolist() == [0, 3, 6]
    title = figure.get_suptitle()
    assert all(part in title for part in ("sphere", "$K=3$", r"$\tau=2$", r"$\eta=0.3$"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"({letter})" for letter in "abcdef"]


@pytest.mark.parametrize("clients", [3, 12])
def test_many_clients_become_their_range(clients):
    wide = RUN.trajectory[["loss", "client_drift"]].isel(client=np.arange(clients) % 3)
    (drift,) = (axes for axes in draw(wide).axes if axes.get_ylabel() == "client drift")
    assert len(drift.lines) == (clients if clients == 3 else 1)
    assert len(drift.collections) == (clients == 12)


def test_values_that_rounding_tells_apart_are_drawn_as_one():
    loss = 4.619634821423956
    both = {"loss": ("round", [loss]), "predicted_loss": ("round", [np.nextafter(loss, 5)])}
    low, high = draw(xr.Dataset(both, {"round": [0]})).axes[0].get_ylim()
    assert low < 0.96 * loss < 1.04 * loss < high
