"""``ntk-localsgd certify``: prove that Local GD converges on one's own data, or say what stands in the way."""

import contextlib
import dataclasses
import functools
import itertools
import math
import pathlib
import time
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console

from ntk_localsgd import certificate, local_sgd
from ntk_localsgd.certificate import Certificate, Forecast
from ntk_localsgd.cli.certified_forecast import (
    Enough,
    advice,
    foreseen,
    on_columns,
    rounded_up,
    rounds_to,
    smaller_scales,
    unscaled,
)
from ntk_localsgd.cli.certified_run import plain, plot_run, summary
from ntk_localsgd.cli.certified_training import Training
from ntk_localsgd.cli.inputs import ProblemOptions, purpose_key
from ntk_localsgd.cli.output import check_folder, show, write_network, write_results
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.cli.search import Asked, Tried, is_monotone, smallest, tries
from ntk_localsgd.cli.start import Start, read_start
from ntk_localsgd.cli.timing import TimeUp, limited, watched
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Stack
from ntk_localsgd.scalars import positive_number
from ntk_localsgd.threads import one_thread

__all__ = ["Certify"]

# Share of the time that is kept for what would do where nothing is proved.
_ADVICE = 0.25

# The largest lazy scale that is tried for advice on a deep network, of which none is foreseen.
_DEEP_SCALE = 1e8

# Share of all of the time that starting, drawing and writing leave.
_AT_WORK = 0.9

# Share of the time that is left in which a lazy scale is looked for; near rows are merged on trial in the rest.
_SHARE = 0.7

# Share of the time that is left which the path method may be estimated to take.
_PATIENCE = 0.8

# Samples at most of a record that ``python -m verification recheck`` takes.
_RECHECKED = 32

# Largest scale and width that are looked for.
_MOST_SCALE, _MOST_WIDTH = 1e12, 2**20


@command
@dataclasses.dataclass(frozen=True, kw_only=True)
class Certify(ProblemOptions):
    """Prove that Local SGD on your own data converges to zero loss, from your weights or random ones."""

    method: certificate.Method = "auto"
    """dominance, frozen: whatever is drawn; energy: with probability; ball: cheap; path: sharp; auto: in this order."""
    batch_size: int | None = None
    """Samples of a step, drawn anew every time; left out: all of a client."""
    participants: int | None = None
    """Clients that are drawn to take part in a round; left out: all."""
    delta: float = 0.05
    """Where something is drawn, the proof holds with probability 1 − δ."""
    rounds: int = 0
    """Train up to so many rounds, and certify as soon as possible."""
    every: int = 10
    """With rounds: try to certify every this many of them."""
    resume: bool = False
    """With rounds: go on where the same command was interrupted."""
    find: Literal["scale", "width"] | None = None
    """The smallest lazy scale, or width, with a proof, to 25%."""
    time_limit: float = 120.0
    """Seconds after which it ends with what there is."""
    save: pathlib.Path | None = None
    """Write the network that the certificate speaks of (.npz)."""
    record: pathlib.Path | None = None
    """Write all that is claimed (.json), for python -m verification recheck, which takes at most 32 samples."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder for certify-DATA.json and .png, which take the place of older ones."""

    def __call__(self) -> int:
        """Print what is proved, write it and a plot of the bound beside the run; 1 if nothing is proved."""
        check_folder("out folder", self.out)
        if not 0 < positive_number("delta", self.delta) < 1:
            raise InputError(f"delta is {self.delta:g}, needs to lie between 0 and 1.")
        if self.save is not None:
            check_folder("folder of save", self.save.absolute().parent)
            if self.save.suffix != ".npz" or self.save.is_dir():
                raise InputError(f"save is {self.save}, needs to name a file that ends in .npz.")
        self._check_record()
        seconds = positive_number("time_limit", self.time_limit)
        if self.resume and not self.rounds:
            raise InputError("resume is set, but without rounds there is no training to go on with.")
        with one_thread():  # also for many rows: on a loaded machine they gain little and wait for each other
            return self._found(seconds) if self.find is None else self._find(self.find, seconds)

    def _found(self, seconds: float) -> int:
        """Prove it, or say what would do."""
        began = time.monotonic()
        start = self._start()
        self._config(start, 0).participants_of(start.clients)
        seen = foreseen(start, self.scale, self._config(start, 0))
        end, seconds, spent = began + _AT_WORK * seconds, (1 - _ADVICE) * seconds, time.monotonic() - began
        if spent > seconds:
            start.notes.append(f"the network and its Gram matrix alone took {spent:.2g} s")
        ended = self._proved(start, seconds - spent)
        content = self._content(start, ended.losses)
        kept = [] if self.save is None else [write_network(ended.net, self.save)]
        if ended.refusal is not None:
            if len(ended.losses) == 1:
                raise InputError(ended.refusal)
            kept = kept or [write_network(ended.net, self._reached)]
            paths = write_results(self.out, "certify", self.data, content | {"certificate": None}, None)
            where = " and ".join(str(path) for path in (*kept, *paths))
            rounds = len(ended.losses) - 1
            raise InputError(f"{ended.refusal.rstrip('.')}; the {rounds} rounds are kept in {where}.")
        proof = ended.proof
        proved = proof is not None and proof.certified
        advise, enough, ahead = not (self.rounds or proved), Enough(), None
        if advise:
            enough = self._enough(start, seen, _SHARE * (end - time.monotonic()))
            with contextlib.suppress(TimeUp), limited(max(end - time.monotonic(), 1.0)):
                ahead = self._rounds_to(start, proof, enough)
        content |= {
            "certificate": None if proof is None else plain(proof),
            "scale_that_would_do": enough.scale,
            "rounds_that_may_do": ahead,
        }
        figure = None
        if proof is not None:
            settings = (start.dataset, start.clients, self._config(start, 0), ended.losses)
            figure = plot_run(proof, ended.net, *settings, factor=start.factor, key=self._key)
        elif len(ended.losses) > 1:
            kept = kept or [write_network(ended.net, self._reached)]
        kept += self._recorded(start, ended.net, proof)
        paths = write_results(self.out, "certify", self.data, content, figure)
        table = summary(start, self.scale, proof, ended.losses, seconds)
        if enough.scale is not None:
            table.add_row("a lazy scale κ that would do", str(enough))
        if ahead is not None:
            table.add_row("or training first, --rounds of", f"a few times {ahead:,}; in narrow networks none may do")
        if self.rounds and not proved:
            table.add_row("what may help", "a larger --scale besides, or more neurons; seldom more rounds alone")
        if advise:
            with contextlib.suppress(TimeUp), limited(max(end - time.monotonic(), 1.0)):
                least = min(math.inf if seen is None else seen.scale, enough.scale or math.inf)
                rows = advice(start, self.scale, seen, self._config(start, 0), enough.scale)
                for row in itertools.chain(rows, on_columns(self, Certify._begun, least)):
                    table.add_row(*row)
        show(table, start.notes, (*paths, *kept))
        return 0 if proved else 1

    def _check_record(self) -> None:
        if self.record is None:
            return
        check_folder("folder of record", self.record.absolute().parent)
        if self.record.suffix != ".json" or self.record.is_dir():
            raise InputError(f"record is {self.record}, needs to name a file that ends in .json.")
        if self.depth is not None:
            raise InputError("record is set, but certificates of deep networks are not written: leave out --depth.")

    def _recorded(self, start: Start, net: Stack, proof: Certificate | None) -> list[pathlib.Path]:
        """Write what is proved, where that is asked for."""
        if self.record is None or proof is None or not proof.certified:
            return []
        config = self._config(start, 0)
        certificate.write_certificate(self.record, proof, net, start.dataset, start.clients, config)
        if start.dataset.num_samples > _RECHECKED:
            start.notes.append(f"{self.record} has more than the {_RECHECKED} samples that recheck takes")
        return [self.record]

    @property
    def _reached(self) -> pathlib.Path:
        """Where a network goes that was trained, and whose command did not come to its end."""
        return self.save or self.out / f"certify-{self.data.stem}-network.npz"

    @property
    def _random(self) -> bool:
        """Whether a run draws batches or participants."""
        return self.batch_size is not None or self.participants is not None

    @property
    def _key(self) -> jax.Array | None:
        return purpose_key(self.seed, 2) if self._random else None

    def _config(self, start: Start, rounds: int) -> local_sgd.LocalSGD:
        config = start.config(self, rounds, self.batch_size)
        return dataclasses.replace(config, participants=self.participants)

    def _start(self) -> Start:
        """What there is to prove, with a step size that can be told from 1/λ_max, which is refused itself."""
        start = read_start(self)
        if start.norms is not None:
            raise InputError(
                f"inputs have rows of norm {start.norms.min():.4g} … {start.norms.max():.4g}, but the proof is for "
                "norm 1: --rows scaled certifies on rows scaled to it."
            )
        value = min(start.step_size.value, start.step_size.allowed * (1 - 1e-7))
        return dataclasses.replace(start, step_size=start.step_size._replace(value=value))

    def _begun(self) -> tuple[Start, local_sgd.LocalSGD]:
        start = self._start()
        return start, self._config(start, 0)

    def _content(self, start: Start, losses: Float[ndarray, " rounds"]) -> dict[str, object]:
        return {
            **start.described(self),
            "step_size": start.step_size.value,
            "local_steps": self.local_steps,
            "batch_size": self.batch_size,
            "participants": self.participants,
            "trained_rounds": len(losses) - 1,
            "loss": (start.factor * losses).tolist(),
            "notes": start.notes,
        }

    def _proved(self, start: Start, seconds: float) -> "_Ended":
        """Train, if asked to, and certify, for at most so many seconds together."""
        end = time.monotonic() + seconds
        config, data = self._config(start, self.rounds), (start.dataset, start.clients)
        first = np.array([start.residual @ start.residual / 2])
        ended = _Ended(start.net, first)
        if self.rounds:
            ended = self._trained(start, config, seconds)
            if ended.over:
                return ended
        try:
            with watched(f"looking for a proof, {self.method} method", end - time.monotonic()):
                left = _PATIENCE * (end - time.monotonic())
                # What would do in place of two layers is foreseen.
                estimate = self.depth is not None or self._random
                prove = functools.partial(certificate.certify, ended.net, *data, config, seconds=left)
                proof = prove(method=self.method, delta=self.delta, estimate=estimate)
                return ended._replace(proof=proof)
        except TimeUp:
            return ended
        except InputError as error:
            return ended._replace(refusal=str(error))

    def _trained(self, start: Start, config: local_sgd.LocalSGD, seconds: float) -> "_Ended":
        """The network after the rounds, or when a proof or the end of the time came."""
        stop = certificate.until_certified(self.every, method=self.method, delta=self.delta)
        path = self.out / f"certify-{self.data.stem}-checkpoint.npz"
        reached = Training(start, config, self._key, stop, path).run(seconds, resume=self.resume)
        proof = reached.proof if reached.proof is not None and reached.proof.certified else None
        if reached.time_up:
            start.notes.append(f"{reached.round} rounds are kept in {path}, --resume goes on")
        return _Ended(reached.net, reached.losses, proof, over=reached.time_up or proof is not None)

    def _enough(self, start: Start, seen: Forecast | None, seconds: float) -> Enough:
        """The smallest scale with a proof among the one foreseen and, as time allows, powers of ten below it."""
        if self._random or start.residual @ start.residual == 0:
            return Enough()
        foretold = None if seen is None or not math.isfinite(seen.scale) else rounded_up(seen.scale)
        highest = _DEEP_SCALE if self.depth is not None else foretold
        if highest is None or self.method in ("dominance", "frozen", "energy"):
            return Enough()
        enough = first = Enough(foretold, "ball")
        if self.method == "ball":
            return first
        end, given = time.monotonic() + seconds, unscaled(start, self.scale)

        def prove(scale: float) -> Certificate:
            lazy, left = local_sgd.lazy_targets(start.net, given, scale=scale), _PATIENCE * (end - time.monotonic())
            data = (start.net, lazy, start.clients, self._config(start, 0))
            return certificate.certify(*data, method="path", estimate=False, seconds=left)

        try:
            with watched("looking for a lazy scale that would do", seconds):
                for found in smaller_scales(first, highest, self.scale or 1.0, prove):
                    enough = found
        except (TimeUp, KeyboardInterrupt):  # what is known so far is shown
            enough = enough._replace(below="smaller ones were not decided in the time there was")
        except InputError:
            pass
        return enough

    def _rounds_to(self, start: Start, proof: Certificate | None, enough: Enough) -> int | None:
        """Rounds after which the residual is as small as a proof from the start needs it.

        As a scale says that the path method proves; where none is known, as the method estimates that was tried last.
        """
        if enough.method == "path" and enough.scale is not None:
            small = unscaled(start, self.scale).targets / enough.scale
        elif proof is not None and proof.residual_estimate > 0:
            small = start.residual * (proof.residual_estimate / proof.residual_norm)
        else:
            return None
        return rounds_to(start, self._config(start, 0), small)

    def _find(self, what: Literal["scale", "width"], seconds: float) -> int:
        """The smallest scale or width that was proved to converge; 1 if none was."""
        if what == "width" and self.weights is not None:
            raise InputError(f"find is width, but weights {self.weights} have one: --find scale is for them.")
        if self.rounds:
            raise InputError(f"rounds is {self.rounds}, which --find has no use for: it certifies at the start.")
        tried: list[Tried] = []
        proofs: dict[float, tuple[Start, Certificate]] = {}
        console, asked = Console(stderr=True), Asked(functools.partial(self._attempt, what, proofs))
        if what == "scale":
            numbers = tries(asked, self.scale or 1.0, most=_MOST_SCALE, growth=10.0, ratio=1.25)
        else:
            numbers = tries(asked, self.width or 64, most=_MOST_WIDTH, growth=4, ratio=1.25, step=2)
        ended = ""
        try:
            with limited(seconds):
                for each in numbers:
                    tried.append(each)
                    console.print(f"{what} {each.value:.4g}: {'proved' if each.works else 'not proved'}")
        except TimeUp:
            ended = f"ended after {seconds:g} s, perhaps before 25% was reached: a larger --time-limit goes on"
        except KeyboardInterrupt as interrupt:
            found = smallest(tried)
            best = "none was proved" if found is None else f"the smallest {what} proved so far is {found:.4g}"
            raise KeyboardInterrupt(best) from interrupt
        found, rows = smallest(tried), [each._asdict() for each in tried]
        if found is None:
            most, growth = (_MOST_SCALE, 10.0) if what == "scale" else (_MOST_WIDTH, 4.0)
            print(f"no {what} was proved{asked.told(tried, seconds, most=most, growth=growth)}.")
            return 1
        start, proof = proofs[found]
        start.notes.extend([ended] if ended else [])
        start.notes.append(
            f"of the numbers tried, all above {found:.4g} are proved; nothing is said about those between"
            if is_monotone(tried)
            else f"not monotone: of the numbers tried, some above {found:.4g} are not proved"
        )
        first = np.array([start.residual @ start.residual / 2])
        content = self._content(start, first) | {"scale": self._named(what, found).scale}
        content |= {"certificate": plain(proof), "find": what, "found": found, "tried": rows}
        paths = write_results(self.out, "certify", self.data, content, None)
        table = summary(start, self._named(what, found).scale, proof, first, seconds)
        table.add_row(f"smallest {what} found", f"{found:.4g}")
        kept = [] if self.save is None else [write_network(start.net, self.save)]
        kept += self._recorded(start, start.net, proof)
        show(table, start.notes, (*paths, *kept))
        return 0

    def _named(self, what: Literal["scale", "width"], value: float) -> "Certify":
        """The same command at this scale or width."""
        return (
            dataclasses.replace(self, scale=value) if what == "scale" else dataclasses.replace(self, width=int(value))
        )

    def _attempt(
        self, what: Literal["scale", "width"], proofs: dict[float, tuple[Start, Certificate]], value: float
    ) -> bool:
        """Whether this scale or width is proved; what the theorem cannot speak of is not."""
        options = self._named(what, value)
        try:
            start = options._start()
            data = (start.dataset, start.clients, options._config(start, 0))
            proof = certificate.certify(start.net, *data, method=self.method, estimate=False, delta=self.delta)
        except InputError:
            if what == "scale":  # at another scale the network is the same, and so is what is wrong
                raise
            return False
        if proof.certified:
            proofs[value] = start, proof
        return proof.certified


class _Ended(NamedTuple):
    """Where training and the search for a proof have come to; ``over``: there is nothing left to try."""

    net: Stack
    losses: Float[ndarray, " rounds"]
    proof: Certificate | None = None
    refusal: str | None = None
    over: bool = False
