"""Local (S)GD: rounds of local steps on every client, then the plain average over clients."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from jax.sharding import Mesh
from jaxtyping import Array, PyTree
from rich.progress import track

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import PLAIN, Checkpoint, LocalSGD
from ntk_localsgd.local_sgd.gradients import ClientData, Weights
from ntk_localsgd.local_sgd.observables import Observable, fitted, select
from ntk_localsgd.local_sgd.recording import GramRecorder, Record, rounds_at_once
from ntk_localsgd.local_sgd.rounds import Sizes
from ntk_localsgd.local_sgd.together import Together
from ntk_localsgd.local_sgd.ways import ClientRule, Plan
from ntk_localsgd.networks import Network
from ntk_localsgd.networks.network import float_dtype
from ntk_localsgd.scalars import whole_number

__all__ = ["Run", "run", "run_seeds"]

# Rounds in one compiled chunk when nothing else asks for a shorter one.
_LONGEST_CHUNK = 1000


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    trajectory
        Labelled observables. Dimensions: ``round`` t = 0 … R, ``client``, ``local_step`` k = 0 … τ, ``step_taken``
        k = 0 … τ − 1 and ``gram_round``. Local steps at round t ≥ 1 are those that lead from W(t−1) to W(t); at t = 0
        all clients hold W(0). NaN: of clients that do not take part in a round, and of steps beyond a client's τ_c.
    diverged_at
        First round at which the loss was not finite or a million times its start; the trajectory ends before it. 0: it
        was not finite at the start, which is all that the trajectory holds.
    stopped_at
        Round at which ``stop`` ended the run.
    server
        State of the server's optimizer after the last recorded round, for a `Checkpoint` to go on from; () without one,
        and of a diverged run.
    """

    trajectory: xr.Dataset
    diverged_at: int | None = None
    stopped_at: int | None = None
    server: PyTree = ()
    _last: Callable[[], Network] = dataclasses.field(kw_only=True, repr=False)

    @functools.cached_property
    def network(self) -> Network:
        """The averaged network after the last recorded round; of a diverged run, trained once more up to there."""
        return self._last()


def run(
    net: Network,
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    key: Array | None = None,
    observe: Sequence[str | Observable] = (),
    gram_every: int = 1,
    stop: Callable[[Checkpoint], bool] | None = None,
    progress: bool = False,
    mesh: Mesh | None = None,
    resume: Checkpoint | None = None,
    reference: Network | None = None,
) -> Run:
    """Train a network by Local (S)GD and record what is observed.

    K = 1 is (stochastic) gradient descent; τ = 1 is synchronous gradient descent on the mean of the clients' losses.
    The run is compiled in chunks of rounds; Gram matrices and ``stop`` are evaluated on the host between chunks.
    Observing local steps may change roundings, nothing else: without it, clients need no weights of their own
    where that is the faster way.

    Parameters
    ----------
    net
        Start; it is not changed. Training runs in its dtype.
    dataset, clients
        The data and who holds it. Targets of one output may stand in one column.
    config
        Step size, local steps, rounds, and all else that is the algorithm's.
    key
        Decides batches and participants; needed exactly when ``batch_size`` or ``participants`` is set.
    observe
        Names out of `OBSERVABLES`, or `Observable` of your own; ``loss`` is always recorded.
    gram_every
        The observables of the Gram matrix are taken every this many rounds.
    stop
        Called with a `Checkpoint` at round 0 and every ``stop.every`` rounds (an attribute; 1 if absent); true ends the
        run.
    progress
        Show a progress bar.
    mesh
        Devices over whose first axis the clients are spread; it must divide their number.
    resume
        Where an earlier run from ``net`` has come to: go on from its ``network`` and ``round`` to the end of
        ``config``. The trajectory begins there, as if all clients held that network; movement, flips and batches are
        those of the whole run, and `join` puts both trajectories together.
    reference
        The network that movement and flips are measured from, which differs from ``net`` in its trained weights alone;
        None: ``net``.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If data, clients, network and configuration do not fit together, an observable is unknown, or this is called
        under ``jax.jit``.
    """
    (alone,) = run_seeds(
        (net,),
        dataset,
        clients,
        config,
        keys=None if key is None else (key,),
        observe=observe,
        gram_every=gram_every,
        stop=stop,
        progress=progress,
        mesh=mesh,
        resume=None if resume is None else (resume,),
        references=None if reference is None else (reference,),
    )
    return alone


def run_seeds(
    nets: Sequence[Network],
    dataset: Dataset,
    clients: Clients,
    config: LocalSGD,
    *,
    keys: Sequence[Array] | None = None,
    observe: Sequence[str | Observable] = (),
    gram_every: int = 1,
    stop: Callable[[Checkpoint], bool] | None = None,
    progress: bool = False,
    mesh: Mesh | None = None,
    resume: Sequence[Checkpoint] | None = None,
    references: Sequence[Network] | None = None,
) -> list[Run]:
    """Train several networks of one shape by Local (S)GD on the same data and clients.

    What `run` finds for each of them, up to rounding, by one compiled program: networks one after the other on a CPU,
    all at once on a GPU, where a single small network leaves most of the device idle. All of them are held in memory
    together.

    Parameters
    ----------
    nets
        Starts, of equal shapes; they are not changed.
    keys
        One a network, exactly when ``batch_size`` or ``participants`` is set.
    stop
        As of `run`, asked for each network (``checkpoint.index``) until it says true of it.
    mesh
        Devices over whose first axis the networks are spread, or the clients of a single one; it must divide their
        number.
    resume
        As of `run`, one a network and all at the same round.
    references
        As ``reference`` of `run`, one a network.
    dataset, clients, config, observe, gram_every, progress
        As of `run`.

    Returns
    -------
    One `Run` a network, in the order given.

    Raises
    ------
    InputError
        As `run`; for no networks, networks of different shapes, or another number of keys.
    """
    nets, every = tuple(nets), whole_number("gram_every", gram_every)
    _check(nets, clients, config, keys)
    start, here = _beginning(nets, config, resume)
    if references is not None:
        nets = _measured_from(nets, references)
    entries = fitted(select(observe), nets[0])
    at_rounds, at_taken, at_steps, at_grams = (
        tuple(entry for entry in entries if entry.when == when) for when in ("round", "taken", "step", "gram")
    )
    steps = config.steps_of(clients)
    own_steps = steps if len(set(steps)) > 1 else None
    batch_size = None if config.batch_size is None else min(config.batch_size, max(clients.sizes))
    sizes = _sizes(clients, config)
    asked_every = whole_number("stop.every", getattr(stop, "every", 1))
    stops = [] if stop is None else [asked_every]
    carried = rounds_at_once(nets, dataset, stops) if at_grams and every == 1 else 1
    plan = Plan(
        max(steps), batch_size, at_rounds, at_taken, at_steps, own_steps, config.participants,
        sizes.client_weights is not None, ClientRule.of(config), config.server, carried > 1,
    )  # fmt: skip
    together = Together(nets, keys, ClientData.of(dataset, clients, nets[0]), sizes, plan, mesh)
    states, *at_start = together.begin(here, [point.server for point in resume] if resume and start else None)
    courses = [
        _Course(
            Checkpoint(now, start, dataset, clients, config, k, together.server(k, states)),
            Record(
                entries, _before_steps(plan, clients, *first), GramRecorder(net, dataset, at_grams, every, now, start)
            ),
            stop,
            asked_every,
        )
        for k, (net, now, *first) in enumerate(zip(nets, here, *map(together.apart, at_start), strict=True))
    ]
    cadences = ([carried if every == 1 else every] if at_grams else []) + stops
    for first, rounds in _chunks(start, config.num_rounds, cadences, progress):
        if all(course.ended for course in courses):
            break
        after, observed = together.go_on(states, first, rounds)
        for k, (course, seen) in enumerate(zip(courses, together.apart(observed), strict=True)):
            if not course.ended:
                weights = together.carried(k, observed) if plan.carried else None
                course.follow(first, seen, weights, together.network(k, after), together.server(k, after))
        states = after
    about = _attributes(nets[0], dataset, clients, config)
    watched, where = (*at_rounds, *at_taken, *at_steps), None if together.many else mesh
    again = [
        functools.partial(_again, net, None if keys is None else keys[k], watched, where) for k, net in enumerate(nets)
    ]
    return [course.finished(about, once_more) for course, once_more in zip(courses, again, strict=True)]


@dataclasses.dataclass
class _Course:
    """One network on its way: where it is, its record, and how it ended."""

    at: Checkpoint
    record: Record
    stop: Callable[[Checkpoint], bool] | None
    every: int  # rounds after which ``stop`` is asked
    diverged_at: int | None = None
    stopped_at: int | None = None

    def __post_init__(self) -> None:
        if self.record.diverges(np.array([self.record.first_loss])).size:
            self.diverged_at = 0
        else:
            self._ask()

    @property
    def ended(self) -> bool:
        return self.diverged_at is not None or self.stopped_at is not None

    def follow(
        self, first: int, seen: dict[str, np.ndarray], weights: Weights | None, network: Network, server: PyTree
    ) -> None:
        """Record a chunk of rounds, up to where it diverges; else go on to the network at its end and ask about it.

        ``weights``: those of every round's end, where they come along.
        """
        diverged, rounds = self.record.diverges(seen["loss"]), len(seen["loss"])
        good = int(diverged[0]) if diverged.size else rounds
        self.record.append({name: values[:good] for name, values in seen.items()})
        if weights is not None:
            self.record.grams.take_all(weights, first + 1, good)
        if diverged.size:
            self.diverged_at = first + good + 1
            return
        self.at = dataclasses.replace(self.at, network=network, round=first + rounds, server=server)
        if weights is None:
            self.record.grams.take(network, self.at.round)
        self._ask()

    def finished(self, about: dict[str, object], again: Callable[[Checkpoint, int], Network]) -> Run:
        """What the user gets; ``again`` finds the network of a round between chunks, where divergence ended the run."""
        recorded = self.at.round if self.diverged_at is None else max(self.diverged_at - 1, self.at.round)
        known = functools.partial(getattr, self.at, "network")
        last = known if recorded == self.at.round else functools.partial(again, self.at, recorded)
        server = self.at.server if self.diverged_at is None else ()
        return Run(self.record.labelled(about), self.diverged_at, self.stopped_at, server, _last=last)

    def _ask(self) -> None:
        if self.stop is not None and self.at.round % self.every == 0 and self.stop(self.at):
            self.stopped_at = self.at.round


def _beginning(
    nets: tuple[Network, ...], config: LocalSGD, resume: Sequence[Checkpoint] | None
) -> tuple[int, tuple[Network, ...]]:
    """The round that a run begins at, and the networks there: round 0 and ``nets``, or where others have come to."""
    if resume is None:
        return 0, nets
    first = resume[0].round if resume else 0
    if len(resume) != len(nets) or any(point.round != first for point in resume):
        raise InputError(f"resume holds {len(resume)} checkpoints, needs one for each network, all at one round.")
    if first > config.num_rounds:
        raise InputError(f"resume is at round {first}, beyond the {config.num_rounds} rounds of config.")
    if first and config.server is not None and not all(point.server for point in resume):
        raise InputError(f"resume has no server state, but config has {config.server}: run.server is needed.")
    return first, tuple(net.with_trained(point.network.trained) for net, point in zip(nets, resume, strict=True))


def _measured_from(nets: tuple[Network, ...], references: Sequence[Network]) -> tuple[Network, ...]:
    """The references, if they are the networks at other trained weights."""
    if len(references) != len(nets):
        raise InputError(f"references are {len(references)}, need to be one for each of {len(nets)} networks.")
    for net, other in zip(nets, references, strict=True):
        fits = [w.shape for w in net.trained] == [w.shape for w in other.trained]
        same = fits and type(net) is type(other) and eqx.tree_equal(net, other.with_trained(net.trained))
        if not same:
            raise InputError("reference differs from net in more than trained weights, needs the same fixed ones.")
    return tuple(references)


def _sizes(clients: Clients, config: LocalSGD) -> Sizes:
    """Numbers that the compiled rounds take as arguments."""
    factors = None if config.step_factors is None else np.array(config.step_factors)
    weights = config.weights_of(clients)
    return Sizes(
        config.step_size, config.server_step_size, factors, np.array(weights) if len(set(weights)) > 1 else None
    )


def _again(
    net: Network, key: Array | None, observe: Sequence[Observable], mesh: Mesh | None, at: Checkpoint, rounds: int
) -> Network:
    """The network of a later round than one is kept of, trained once more, alone."""
    config = dataclasses.replace(at.config, num_rounds=rounds)
    return run(net, at.dataset, at.clients, config, key=key, observe=observe, mesh=mesh, resume=at).network


def _before_steps(
    plan: Plan, clients: Clients, at_round: dict[str, np.ndarray], at_step: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Observations where a run begins: what local steps see is the same at each of them, and no step has been taken."""
    repeated = {name: np.repeat(value[None], plan.local_steps + 1, axis=0) for name, value in at_step.items()}
    zeros = np.zeros((plan.local_steps, clients.num_clients), at_round["loss"].dtype)
    return {**at_round, **repeated, **{entry.name: zeros for entry in plan.at_taken}}


def _check(nets: tuple[Network, ...], clients: Clients, config: LocalSGD, keys: Sequence[Array] | None) -> None:
    """Refuse networks, clients, keys and configuration that do not fit together."""
    if not nets:
        raise InputError("nets is empty, needs at least one network.")
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((nets, keys))):
        raise InputError("net or key is traced by a JAX transformation, needs to be known: call this outside.")
    float_dtype(nets[0].trained[0].dtype)
    shapes = {
        (jax.tree.structure(net), *((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(net))) for net in nets
    }
    if len(shapes) > 1:
        raise InputError(f"nets have {len(shapes)} different shapes or dtypes, need to be alike.")
    if keys is not None and len(keys) != len(nets):
        raise InputError(f"keys are {len(keys)}, but there are {len(nets)} networks: one each is needed.")
    if config.random != (keys is not None):
        raise InputError("key is needed when batch_size or participants is set, and has no use when neither is.")
    config.participants_of(clients)


def _attributes(net: Network, dataset: Dataset, clients: Clients, config: LocalSGD) -> dict[str, object]:
    """What a trajectory says of its run; NetCDF attributes are never None, and lists of one would become numbers."""
    chosen = {name: getattr(config, name) for name in PLAIN} | config.chosen()
    settings = {name: _attribute(value) for name, value in chosen.items() if value is not None}
    data = {"dataset": dataset.name, "num_samples": dataset.num_samples, "input_dim": dataset.input_dim}
    return settings | data | {"client_sizes": np.array(clients.sizes), "dtype": str(net.trained[0].dtype)}


def _attribute(value: object) -> object:
    """A setting as NetCDF has it."""
    return np.array(value) if isinstance(value, tuple) else value if isinstance(value, int | float) else str(value)


def _chunks(start: int, num_rounds: int, cadences: list[int], progress: bool) -> Iterator[tuple[int, int]]:
    """First round and number of rounds of every chunk; chunk ends meet every cadence."""
    length = math.gcd(*cadences) if cadences else _LONGEST_CHUNK
    if progress and not cadences:
        length = max(1, math.ceil((num_rounds - start) / 20))
    starts = [start, *range(start - start % length + length, num_rounds, length)] if start < num_rounds else []
    shown = track(starts, description="Local SGD") if progress else starts
    for first in shown:
        yield first, min(length - first % length, num_rounds - first)
