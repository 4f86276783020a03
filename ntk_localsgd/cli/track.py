"""``ntk-localsgd track``: train by Local (S)GD on one's own data and record what the theory speaks of."""

import dataclasses
import difflib
import functools
import hashlib
import importlib
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import jax
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import PyTree
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ntk_localsgd import local_sgd, prediction
from ntk_localsgd.cli.inputs import purpose_key
from ntk_localsgd.cli.output import check_folder, show
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.cli.practised import PractisedOptions
from ntk_localsgd.cli.start import Start, read_start
from ntk_localsgd.errors import InputError
from ntk_localsgd.files import read_npz
from ntk_localsgd.local_sgd import OBSERVABLES, Checkpoint, LocalSGD, Observable, server
from ntk_localsgd.local_sgd.config import PLAIN
from ntk_localsgd.networks import Stack, load_network, save_network
from ntk_localsgd.provenance import versions
from ntk_localsgd.scalars import whole_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Track", "by_round"]

# Short names of observables.
_SHORT = {
    "movement": "frobenius_movement",
    "flips": "flip_fraction",
    "drift": "client_drift",
    "eigenvalue": "smallest_eigenvalue",
}

# Samples up to which the mean over batches is predicted: a round of it takes some n³ operations.
_MOST_SAMPLES = 300

# Seconds between two times that what is there so far is written.
_WRITTEN_EVERY = 10.0


@command
@dataclasses.dataclass(frozen=True, kw_only=True)
class Track(PractisedOptions):
    """Train by Local (S)GD on your own data and record weights, patterns, drift and kernel beside the prediction."""

    rounds: int
    """Rounds R to train."""
    observe: str = "movement,flips,drift,eigenvalue"
    """Beside the loss, with commas between: these four, or any of local_sgd.OBSERVABLES."""
    every: int | None = None
    """Rounds from one Gram matrix, and file of what is there, to the next; left out: a twentieth of all."""
    every_step: bool = False
    """Keep every local step, and not only the last one of each round."""
    hold_out: float | None = None
    """Share of the rows, drawn by the seed, that no client gets and that are evaluated on."""
    resume: bool = False
    """Go on from what a shorter run of the same settings has written."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder for track-DATA.nc, .csv, .png and .pdf, and the network in track-DATA-network.npz."""

    def __call__(self) -> int:
        """Train, write files and print a summary; 1 if the run diverged."""
        check_folder("out folder", self.out)
        names = observables(self.observe)
        every = whole_number("every", max(1, self.rounds // 20) if self.every is None else self.every)
        self.check_practised()
        start = read_start(self, proved=False, hold_out=self.hold_out, counted=self.counted)
        if start.norms is not None:
            raise InputError(
                f"inputs have rows of norm {start.norms.min():.4g} … {start.norms.max():.4g}, but training is on rows "
                "of norm 1: --rows scaled trains on rows scaled to it."
            )
        config, notes = self.practised(start.factor * start.step_size.value, self.rounds, start.clients)
        start.notes.extend(notes)
        files = _Files(self.out, self.data.stem)
        tracked = _Tracked(start, config, names, every, self.every_step, self.seed, self.scale)
        began, trajectory = time.monotonic(), tracked.train(files, resume=self.resume)
        paths = files.write_shown(trajectory, steps=self.every_step)
        rounds = int(trajectory["round"][-1])
        if rounds < self.rounds:
            start.notes.append(f"the run diverged: round {rounds + 1} has no finite loss, or a million times the first")
        show(_summary(start, trajectory, time.monotonic() - began), start.notes, paths)
        return 0 if rounds == self.rounds else 1


def observables(names: str) -> tuple[str, ...]:
    """Names of observables from a list with commas; `InputError` names the nearest ones for what is none."""
    wanted = [_SHORT.get(name.strip(), name.strip()) for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in OBSERVABLES:
            near = difflib.get_close_matches(name, [*_SHORT, *OBSERVABLES], n=2, cutoff=0.4) or sorted(OBSERVABLES)
            raise InputError(f"observe names {name!r}, which is no observable: did you mean {' or '.join(near)}?")
    return tuple(dict.fromkeys(wanted))


@dataclasses.dataclass(frozen=True)
class _Files:
    """Where a run's results lie."""

    out: pathlib.Path
    name: str

    def path(self, ending: str) -> pathlib.Path:
        return self.out / f"track-{self.name}{ending}"

    def write(self, trajectory: xr.Dataset, net: Stack, server: PyTree) -> None:
        """The trajectory, its last network and the server's memory, each moved into place when it is whole."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            parts = [self.path(".part.nc"), self.path("-network.part.npz")]
            if leaves := jax.tree.leaves(server):
                np.savez(self.path("-server.npz"), *map(np.asarray, leaves))
            trajectory.to_netcdf(parts[0], engine="h5netcdf")
            save_network(net, parts[1])
            os.replace(parts[0], self.path(".nc"))
            os.replace(parts[1], self.path("-network.npz"))
        except OSError as error:
            raise InputError(f"out folder {self.out} cannot be written ({error.strerror}).") from error

    def read(self, server: PyTree) -> tuple[xr.Dataset, Stack, PyTree]:
        """What `write` wrote; ``server`` has the structure of the server's memory."""
        try:
            with xr.open_dataset(self.path(".nc"), engine="h5netcdf") as opened:
                trajectory = opened.load()
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path('.nc')} cannot be read, needs to be there for --resume.") from error
        net = load_network(self.path("-network.npz"))
        if trajectory.attrs.get("network") != _fingerprint(*net.trained):
            raise InputError(f"{self.path('-network.npz')} is not the network of {self.path('.nc')}: begin anew.")
        leaves, structure = jax.tree.flatten(server)
        if leaves:
            held = read_npz(self.path("-server.npz"), tuple(f"arr_{k}" for k in range(len(leaves))))
            server = jax.tree.unflatten(structure, [held[f"arr_{k}"] for k in range(len(leaves))])
        return trajectory, net, server

    def write_shown(self, trajectory: xr.Dataset, *, steps: bool) -> list[pathlib.Path]:
        """Tables and figure; all paths of the run."""
        by_round(trajectory).to_csv(self.path(".csv"), index_label="round")
        paths = [self.path(".nc"), self.path("-network.npz"), self.path(".csv")]
        if steps:
            for dim in ("local_step", "step_taken"):
                if names := [name for name, variable in trajectory.data_vars.items() if dim in variable.dims]:
                    paths.append(self.path(f"-{dim}s.csv"))
                    trajectory[names].to_dataframe().reset_index().to_csv(paths[-1], index=False)
        # The library draws nothing itself: its figures stand on it.
        draw = cast("Callable[[xr.Dataset], Figure]", importlib.import_module("figures.trajectory").draw)
        figure = draw(trajectory)
        for ending in (".png", ".pdf"):
            paths.append(self.path(ending))
            figure.savefig(paths[-1], dpi=200)
        return paths


@dataclasses.dataclass(frozen=True)
class _Tracked:
    """A run in pieces of ``every`` rounds, each of which goes on where the one before ended."""

    start: Start
    config: LocalSGD
    names: tuple[str, ...]
    every: int
    every_step: bool
    seed: int
    scale: float | None

    def train(self, files: _Files, *, resume: bool) -> xr.Dataset:
        """The whole trajectory, written every few seconds and when interrupted."""
        predicted = self._predicted()
        trajectory, here = self._earlier(files) if resume else (None, None)
        first = 0 if here is None else here.round
        ends = [*range(first - first % self.every + self.every, self.config.num_rounds, self.every)]
        written = time.monotonic()
        columns = (TextColumn("Local SGD"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        try:
            with Progress(*columns, console=Console(stderr=True)) as bar:
                shown = bar.add_task("", total=self.config.num_rounds, completed=first)
                for end in [*ends, self.config.num_rounds]:
                    trajectory, here = self._piece(end, trajectory, here)
                    bar.update(shown, completed=here.round)
                    if here.round < end:
                        break
                    if time.monotonic() - written > _WRITTEN_EVERY:
                        self._keep(files, trajectory, here, predicted)
                        written = time.monotonic()
        except KeyboardInterrupt as interrupt:
            if trajectory is None or here is None:
                raise
            self._keep(files, trajectory, here, predicted)
            kept = f"{here.round} rounds are kept in {files.path('.nc')}, --resume goes on"
            raise KeyboardInterrupt(kept) from interrupt
        assert trajectory is not None
        assert here is not None
        return self._keep(files, trajectory, here, predicted)

    def _keep(
        self, files: _Files, trajectory: xr.Dataset, here: Checkpoint, predicted: np.ndarray | None
    ) -> xr.Dataset:
        """Write what there is, and hand it back with its labels."""
        labelled = self._labelled(trajectory, here, predicted)
        files.write(labelled, cast("Stack", here.network), here.server)
        return labelled

    def _piece(self, end: int, trajectory: xr.Dataset | None, here: Checkpoint | None) -> tuple[xr.Dataset, Checkpoint]:
        start = self.start
        config = dataclasses.replace(self.config, num_rounds=end)
        key = purpose_key(self.seed, 2) if config.random else None
        run = local_sgd.run(
            start.net, start.dataset, start.clients, config, key=key, observe=(*self.names, *self.evaluated),
            gram_every=self.every, resume=here,
        )  # fmt: skip
        new = self._reduced(run.trajectory)
        trajectory = new if trajectory is None else local_sgd.join(trajectory, new)
        reached = int(trajectory["round"][-1])
        return trajectory, Checkpoint(run.network, reached, start.dataset, start.clients, config, server=run.server)

    @functools.cached_property
    def evaluated(self) -> tuple[Observable, ...]:
        """What is observed of the rows held out; made once, so that rounds are compiled once."""
        return () if self.start.held_out is None else local_sgd.held_out(self.start.held_out)

    def _reduced(self, trajectory: xr.Dataset) -> xr.Dataset:
        """In units of f, and of local steps the last one where not all are asked for."""
        factor = self.start.factor
        with xr.set_options(keep_attrs=True):
            for name in trajectory.data_vars if factor != 1 else ():
                entry = OBSERVABLES[str(name)]  # nothing is held out where there is a scale
                if entry.units.startswith("target²") or entry.when == "gram":
                    trajectory[name] = factor * trajectory[name]
        if not self.every_step:
            last = {dim: -1 for dim in ("local_step", "step_taken") if dim in trajectory.dims}
            trajectory = trajectory.isel(last)
        return trajectory

    def _predicted(self) -> np.ndarray | None:
        """Losses by round, from the Gram matrix at the start; the mean over batches where there are any."""
        start, config = self.start, self.config
        given = (start.gram.matrix, start.clients, start.residual, config)
        try:
            if not config.random or (config.participants is None and config.batches_of(given[1]) == given[1].sizes):
                return start.factor / 2 * np.square(prediction.local_gd(*given)).sum(axis=1)
            if start.dataset.num_samples > _MOST_SAMPLES:
                few = f"no prediction for batches of more than {_MOST_SAMPLES} samples, it takes n³ a round"
                start.notes.append(few)
                return None
            return start.factor / 2 * prediction.local_sgd_second_moment(*given)
        except InputError as error:
            start.notes.append(f"no prediction: {str(error).rstrip('.')}")
            return None

    def _labelled(self, trajectory: xr.Dataset, here: Checkpoint, predicted: np.ndarray | None) -> xr.Dataset:
        """With prediction, settings and what a later run needs to go on."""
        if predicted is not None:
            about = {"units": "target²", "formula": "loss predicted from the Gram matrix at the start"}
            rounds = trajectory["round"].values
            trajectory = trajectory.assign(predicted_loss=("round", predicted[rounds], about))
        net = self.start.net
        attributes: dict[str, object] = {
            "step_size": self.start.step_size.value,
            "width": net.width,
            "settings": json.dumps(self._settings()),
            "network": _fingerprint(*cast("Stack", here.network).trained),
            "versions": json.dumps(versions()),
        }
        attributes |= {} if net.input_weights is None else {"depth": net.depth}
        attributes |= {} if self.scale is None else {"scale": self.scale}
        return trajectory.assign_attrs(attributes)

    def _settings(self) -> dict[str, object]:
        """All that decides the run but for its number of rounds."""
        start, config = self.start, {name: getattr(self.config, name) for name in PLAIN} | self.config.chosen()
        del config["num_rounds"]
        config |= {"server": str(self.config.server)} if self.config.server is not None else {}
        data = _fingerprint(start.dataset.inputs, start.dataset.targets)
        more: dict[str, object] = {"seed": self.seed} if self.config.random else {}
        if start.held_out is not None:
            more["held_out"] = _fingerprint(start.held_out.inputs)
        about = {
            "data": data,
            "clients": _fingerprint(*start.clients.indices),
            "start": _fingerprint(*start.net.trained),
        }
        return about | config | more | {"observe": list(self.names), "every": self.every, "every_step": self.every_step}

    def _earlier(self, files: _Files) -> tuple[xr.Dataset, Checkpoint]:
        """What has been written, if it is of the same run."""
        rule = self.config.server
        trajectory, net, memory = files.read(server.begin(rule, self.start.net.trained))
        settings, now = json.loads(trajectory.attrs["settings"]), json.loads(json.dumps(self._settings()))
        reached = int(trajectory["round"][-1])
        for each in (settings, now):  # a longer run has more of them
            each["step_factors"] = each.get("step_factors", [])[:reached]
        if other := [name for name in {**now, **settings} if settings.get(name) != now.get(name)]:
            was, now_is = settings.get(other[0]), now.get(other[0])
            raise InputError(
                f"{files.path('.nc')} is of another run ({other[0]} was {was}, is {now_is}): "
                "--resume needs the same settings."
            )
        if reached > self.config.num_rounds:
            raise InputError(f"rounds is {self.config.num_rounds}, but {files.path('.nc')} holds {reached} already.")
        here = self.start.net.with_trained(net.trained)
        point = Checkpoint(here, reached, self.start.dataset, self.start.clients, self.config, server=memory)
        return trajectory.drop_vars("predicted_loss", errors="ignore"), point


def by_round(trajectory: xr.Dataset) -> pd.DataFrame:
    """A trajectory as a table, a row a round: largest values over clients and steps, a column a layer and bound."""
    columns: dict[str, pd.Series] = {}
    for name, variable in trajectory.data_vars.items():
        along = "gram_round" if "gram_round" in variable.dims else "round"
        wide = next((dim for dim in ("layer", "bound") if dim in variable.dims), None)
        others = [dim for dim in variable.dims if dim not in (along, wide)]
        largest, title = variable.max(others), f"largest_{name}" if others else str(name)
        if wide is None:
            columns[title] = largest.to_series()
        else:
            for label in variable[wide].values:
                columns[f"{title}_{label}"] = largest.sel({wide: label}, drop=True).to_series()
    return pd.DataFrame(columns)


def _fingerprint(*arrays: object) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(np.asarray(array)).tobytes())
    return digest.hexdigest()[:16]


def _said(name: str) -> str:
    """A column in words: which of the values over clients and steps it is."""
    own = name.removeprefix("largest_")
    where = ", largest over clients and last steps" if own in ("client_drift", "distance_to_average") else ", largest"
    return own.replace("_", " ") + where * (own != name)


def _summary(start: Start, trajectory: xr.Dataset, seconds: float) -> Table:
    """First and last value of everything."""
    table = Table("quantity", "at the start", f"after {int(trajectory['round'][-1])} rounds", title=start.title)
    table.add_row("clients K", f"{start.clients.num_clients}", "")
    table.add_row(
        "step size η, 1/max_c λ_max of a client's steps",
        f"{start.step_size.value:.6g}, {start.step_size.allowed:.6g}",
        "",
    )
    values = by_round(trajectory)
    for name in values:
        column = values[name].dropna()
        table.add_row(_said(str(name)), f"{column.iloc[0]:.6g}", f"{column.iloc[-1]:.6g}")
    table.add_row("seconds", "", f"{seconds:.1f}")
    return table
