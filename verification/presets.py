"""Sizes of a verification run, by preset: everything that decides how much is measured, in one place."""

import dataclasses

__all__ = [
    "PRESETS",
    "CertificateSizes",
    "DeepSizes",
    "DepthLimitSizes",
    "EntropySizes",
    "FrontierSizes",
    "PredictionSizes",
    "Preset",
    "Shape",
    "StepSizes",
    "WidthSizes",
]


@dataclasses.dataclass(frozen=True)
class DeepSizes:
    """Sizes of the claims about deep networks: every sweep varies one of them, all else at the first-named value."""

    samples: tuple[int, ...]  # n
    widths: tuple[int, ...]  # m; the narrowest serves the sweeps over everything else
    depths: tuple[int, ...]  # L
    separations: tuple[float, ...]  # φ of the sphere's planted pair
    local_steps: tuple[int, ...]  # τ
    clients: tuple[int, ...]  # K
    rounds: int
    start_seeds: int  # of everything at initialization, which is cheap
    seeds: int  # of runs whose exponent in the width is asked for
    few_seeds: int  # of the other sweeps
    kinds: tuple[str, ...] = ("digits", "planted")  # planted: a pair at the first separation

    @property
    def start_widths(self) -> tuple[int, ...]:
        """m at initialization: one more, for a longer lever."""
        return self.widths[0] // 2, *self.widths


@dataclasses.dataclass(frozen=True)
class PredictionSizes:
    """Sizes of the claims about the kernel-regime prediction; full batches, then minibatches."""

    samples: int
    clients: int
    local_steps: int
    rounds: int
    widths: tuple[int, ...]
    seeds: int
    minibatch_samples: int
    minibatch_widths: tuple[int, ...]
    minibatch_seeds: int


@dataclasses.dataclass(frozen=True)
class WidthSizes:
    """Sizes of the map of widths; of every parameter the first value is where the others are varied."""

    bounds: tuple[str, ...]
    kinds: tuple[str, ...]
    samples: tuple[int, ...]
    separations: tuple[float, ...]
    clients: tuple[int, ...]
    local_steps: tuple[int, ...]
    depths: tuple[int, ...]
    repeats: int
    largest_width: int


@dataclasses.dataclass(frozen=True)
class StepSizes:
    """Sizes of the map of step sizes; of every parameter the first value is where the others are varied."""

    kinds: tuple[str, ...]
    samples: tuple[int, ...]
    separations: tuple[float, ...]
    local_steps: tuple[int, ...]
    widths: tuple[int, ...]
    repeats: int


@dataclasses.dataclass(frozen=True)
class CertificateSizes:
    """Sizes of the claims about certificates."""

    runs: int  # random runs that certificates are held against
    samples: tuple[int, ...]  # n of the widths certified at initialization
    seeds: int  # of these
    run: tuple[int, int, int]  # samples, inputs and neurons of the one long run
    deep_runs: int  # random deep runs that certificates are held against
    deep: tuple[tuple[int, int, int, float], ...]  # n, m, L and κ of deep networks at initialization
    deep_seeds: int
    deep_controls: int  # seeds of each control


@dataclasses.dataclass(frozen=True)
class FrontierSizes:
    """Sizes of the smallest lazy scales with a certificate; what is not varied is at its first-named value."""

    samples: tuple[int, ...]  # n
    widths: tuple[int, ...]  # m
    depths: tuple[int | None, ...]  # L; None: two layers
    seeds: int
    kinds: tuple[str, ...] = ("digits", "sphere")


@dataclasses.dataclass(frozen=True)
class DepthLimitSizes:
    """Sizes of the claims about networks whose depth grows."""

    networks: int = 1000  # at random, of X1
    width: int = 16
    depth: int = 10_000  # of the tails
    seeds: int = 2
    outputs: tuple[int, int] = (8, 1024)  # neurons and depth where weights are found from outputs
    line: tuple[int, int] = (16, 10)  # neurons and layers whose domains are counted
    plane: tuple[int, int] = (8, 5)
    domain_seeds: int = 10
    start_width: int = 64
    start_depths: tuple[int, ...] = (30, 100, 300, 1000)
    start_seeds: int = 8


@dataclasses.dataclass(frozen=True)
class FederatedSizes:
    """Sizes of the claims about FL-NTK: Gram matrices and directions of rounds, then generalization."""

    samples: int = 16
    clients: int = 4
    local_steps: int = 10
    rounds: int = 2
    widths: tuple[int, ...] = (2**9, 2**11, 2**13)
    control_widths: tuple[int, ...] = (2**7, 2**9, 2**11)
    seeds: int = 20
    steps: tuple[int, ...] = (1, 2, 5, 10, 20, 50)  # τ of one round
    test_samples: tuple[int, ...] = (32, 128, 512)  # n of infinitely wide networks
    draws: int = 4
    trained_samples: tuple[int, ...] = (32, 64)  # n of networks that are trained
    trained_width: int = 2**11
    trained_rounds: int = 60


@dataclasses.dataclass(frozen=True)
class NarrowSizes:
    """Sizes of the claims about networks with fewer neurons than samples."""

    shapes: tuple[tuple[int, int], ...] = ((8, 4), (16, 8), (32, 8), (64, 16))  # n and d on the sphere, in turns
    digits: tuple[int, ...] = (64,)  # n
    activations: tuple[str, ...] = ("tanh", "softplus")
    few: int = 20  # networks where no probability is asked for
    trained: tuple[int, int] = (64, 4)  # n and d of what is trained
    shares: tuple[float, ...] = (0.25, 0.5, 1.0, 4.0)  # its m/n
    trained_seeds: int = 8
    epochs: int = 300


@dataclasses.dataclass(frozen=True)
class Shape:
    """Neurons, trained layers and step of a network of the claims about entropy."""

    width: int
    depth: int
    step: float


@dataclasses.dataclass(frozen=True)
class EntropySizes:
    """Sizes of the claims about entropy."""

    samples: int = 20_000  # of every distribution
    vectors: int = 4_000
    # At 0.25 one of 20 narrow linear networks diverges.
    shapes: tuple[Shape, ...] = (Shape(16, 1, 0.125), Shape(128, 1, 0.5), Shape(32, 3, 0.25))
    images: int = 500  # to train on, and as many to test on
    epochs: int = 100
    every: int = 10  # epochs between profiles
    seeds: int = 6


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes of a verification run.

    ``trials`` seeds decide a probability at δ = 0.05 only from 72 on, so that the smoke preset answers `inconclusive`
    there; its controls break all the same.
    """

    name: str
    trials: int
    kernel_samples: int  # n of the claims at initialization
    many_samples: int  # n where the Gram matrix is the work
    sweep_samples: int  # n of the sweeps over widths
    sweep_widths: tuple[int, ...]
    sweep_seeds: int
    control_widths: tuple[int, ...]
    control_seeds: int
    sweep_rounds: int
    gd_rounds: int  # rounds of 20 gradient steps
    deep: DeepSizes
    prediction: PredictionSizes
    widths: WidthSizes
    steps: StepSizes
    certificates: CertificateSizes
    frontier: FrontierSizes
    depth_limit: DepthLimitSizes = DepthLimitSizes()
    federated: FederatedSizes = FederatedSizes()
    narrow: NarrowSizes = NarrowSizes()
    entropy: EntropySizes = EntropySizes()
    kinds: tuple[str, ...] = ("digits", "sphere")  # data sets of two-layer networks
    claims: tuple[str, ...] = ()  # what is checked if no claim is named; none: all
    attack_restarts: int = 64  # random starts of a search for counterexamples, and steps from each
    attack_steps: int = 1200

    @property
    def brief(self) -> bool:
        """Whether programs run for seconds, so that to compile them is half of the work."""
        return self.name in ("smoke", "quick")


_SMOKE = Preset(
    name="smoke",
    attack_restarts=8,
    attack_steps=300,
    trials=12,
    kernel_samples=6,
    many_samples=40,
    sweep_samples=8,
    sweep_widths=(2**8, 2**10),
    sweep_seeds=6,
    control_widths=(2**6, 2**10),
    control_seeds=6,
    sweep_rounds=5,
    gd_rounds=5,
    deep=DeepSizes((8, 16), (2**6, 2**9), (3, 1), (0.4, 0.1), (5, 2), (4, 2), 4, 12, 8, 5, ("planted",)),
    prediction=PredictionSizes(8, 2, 5, 2, (2**6, 2**9), 6, 8, (2**6, 2**8), 12),
    widths=WidthSizes(("C4",), ("planted",), (4,), (0.8, 0.4), (2,), (5,), (1,), 2, 2**9),
    steps=StepSizes(("planted",), (4,), (0.8,), (1, 8), (256,), 2),
    certificates=CertificateSizes(8, (4,), 2, (4, 16, 2**13), 8, ((4, 64, 2, 1e4),), 12, 6),
    frontier=FrontierSizes((4, 6), (32,), (None, 2), 1, ("sphere",)),
    depth_limit=DepthLimitSizes(50, 6, 300, 2, (4, 64), (6, 4), (4, 3), 2),
    federated=FederatedSizes(16, 4, 10, 1, (2**7, 2**11), (2**7, 2**11), 12, (1, 10), (16, 32), 3, (16,), 2**6, 10),
    narrow=NarrowSizes(((8, 4),), (64,), ("tanh",), 4, (16, 4), (0.5,), 8, 40),
    kinds=("digits",),
)

_QUICK = Preset(
    name="quick",
    trials=100,
    kernel_samples=8,
    many_samples=400,
    sweep_samples=16,
    sweep_widths=(2**11, 2**13, 2**15),
    sweep_seeds=26,
    control_widths=(2**8, 2**10, 2**12),
    control_seeds=6,
    sweep_rounds=20,
    gd_rounds=100,
    deep=DeepSizes(
        (16, 8, 32), (2**7, 2**8, 2**9), (3, 1, 2, 4), (0.4, 0.1, 0.2, 0.8), (5, 1, 10), (4, 1, 2), 6, 80, 30, 8
    ),
    prediction=PredictionSizes(16, 4, 10, 4, (2**8, 2**10, 2**12), 24, 16, (2**7, 2**11), 32),
    widths=WidthSizes(("C4",), ("planted",), (4,), (0.8, 0.4), (2,), (5,), (1,), 2, 2**9),
    steps=StepSizes(("planted",), (4,), (0.8,), (1, 16), (256,), 2),
    certificates=CertificateSizes(60, (2, 4), 2, (8, 32, 2**16), 60, ((8, 256, 3, 1e3),), 72, 8),
    frontier=FrontierSizes((8, 4, 16), (256, 128), (None, 1, 3), 1),
)

_FULL = dataclasses.replace(
    _QUICK,
    name="full",
    attack_restarts=512,
    attack_steps=2000,
    kernel_samples=16,
    many_samples=2000,
    sweep_samples=32,
    control_seeds=12,
    sweep_rounds=40,
    gd_rounds=500,
    deep=DeepSizes(
        samples=(32, 8, 16, 64),
        widths=tuple(2**k for k in range(7, 11)),
        depths=(3, 1, 2, 4, 6),
        separations=(0.4, 0.05, 0.1, 0.2, 0.8),
        local_steps=(5, 1, 20),
        clients=(4, 1, 2, 8),
        rounds=20,
        start_seeds=80,
        seeds=30,
        few_seeds=12,
        kinds=("digits", "planted", "digits10", "pairs"),
    ),
    # Digits, 200 images, five clients by label, ten local steps.
    prediction=PredictionSizes(200, 5, 10, 20, (3 * 10**3, 10**4, 3 * 10**4), 12, 32, (2**8, 2**10, 2**12, 2**14), 48),
    # C3's points, minibatches on deep networks, take some ten minutes of a core each: C6-width's gpu preset has them.
    widths=WidthSizes(
        bounds=("C1", "C4", "C2"),
        kinds=("planted", "digits"),
        samples=(8, 4, 16),
        separations=(0.8, 0.4, 0.2),
        clients=(4, 1, 2),
        local_steps=(5, 1, 20),
        depths=(2, 1, 4),
        repeats=3,
        largest_width=2**11,
    ),
    steps=StepSizes(("digits", "planted"), (8, 4, 16), (0.8, 0.4, 0.2), (5, 1, 25), (1024, 64, 16), 3),
    certificates=CertificateSizes(
        2000,
        (2, 4, 8, 16, 32),
        4,
        (32, 64, 10**6),
        2000,
        ((8, 256, 3, 1e3), (16, 256, 3, 1e3), (32, 256, 3, 1e5)),
        72,
        8,
    ),
    frontier=FrontierSizes((8, 16, 32, 64), (256, 128, 512, 1024), (None, 1, 2, 3, 4), 1),
    entropy=EntropySizes(100_000, 100_000, (*EntropySizes().shapes, Shape(256, 1, 0.5)), 800, 200, 20, 20),
    depth_limit=DepthLimitSizes(
        10_000, 32, 10_000, 8, (16, 4096), (32, 12), (16, 6), 20, 128, (30, 100, 300, 1000), 24
    ),
    federated=FederatedSizes(
        samples=32,
        rounds=10,
        widths=(2**9, 2**11, 2**13, 2**15),
        control_widths=(2**7, 2**9, 2**11),
        seeds=24,
        test_samples=(32, 64, 128, 256, 512, 1024),
        draws=8,
        trained_samples=(32, 64, 128, 256),
        trained_width=2**12,
        trained_rounds=300,
    ),
    narrow=NarrowSizes(
        ((16, 4), (32, 4), (64, 4), (64, 8), (64, 16), (128, 16)),
        (64, 128),
        ("tanh", "softplus", "gelu"),
        40,
        shares=(0.25, 0.5, 1.0, 2.0, 4.0),
        trained_seeds=20,
        epochs=3000,
    ),
    kinds=("digits", "sphere", "pairs"),
)

# For one GPU: the sweeps of quick at 16 times the width with 32 times the seeds, a long run inside a certified regime
# and Gram matrices of many samples.
_GPU = dataclasses.replace(
    _QUICK,
    name="gpu",
    many_samples=10_000,
    sweep_widths=(2**15, 2**17, 2**19),
    sweep_seeds=832,
    control_widths=(2**12, 2**14, 2**16),
    control_seeds=192,
    deep=dataclasses.replace(_QUICK.deep, widths=(2**11, 2**12, 2**13), seeds=960),
    certificates=dataclasses.replace(_FULL.certificates, runs=60, run=(32, 64, 10**7)),
    widths=dataclasses.replace(_FULL.widths, bounds=(*_FULL.widths.bounds, "C3")),
    claims=("K4a-many", "K4b-many", "C8-run", "S4-slope", "S5", "S6-slope", "S4-deep", "S5-deep", "D2-run"),
)

#: Every preset by its name.
PRESETS: dict[str, Preset] = {preset.name: preset for preset in (_SMOKE, _QUICK, _FULL, _GPU)}
