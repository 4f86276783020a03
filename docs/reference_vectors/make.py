"""Makes cases.json: Gram matrices of ten small cases in ball arithmetic, from the formulas and nothing of the library.

``python docs/reference_vectors/make.py`` writes the file beside this script.
"""

import json
import pathlib
from collections.abc import Callable, Iterable, Sequence

from flint import arb, ctx

# Digits that are written, and the error that they are within.
DIGITS, ERROR = 25, "1e-24"

Row = Sequence[arb]
Matrix = list[list[arb]]

# Directions of inputs, to be scaled to norm 1; the last two of WIDE are 0.02 apart.
PLANE = [[3, 4], [1, 0], [-5, 12]]
SPACE = [[1, 2, 2], [2, -1, 0], [0, 0, 1], [-3, 1, 1]]
WIDE = [[1, 1, 1, 1], [100, 1, 0, 0], [100, -1, 0, 0]]

# Weights in eighths, which every binary format holds exactly.
LAYER = [[4, -7, 2], [3, 5, -6], [-8, 1, 1], [2, 2, 9]]
HIDDEN = [[3, -5, 6, 2], [-4, 8, 1, 7], [5, 5, -3, 1], [2, -6, 4, 9]]
OUTPUT = [[8, -8, 4, 6]]
OUTPUTS = [[8, -8, 4, 6], [-2, 5, 7, -3]]


def main() -> None:
    """Write the file."""
    text = json.dumps({"digits": DIGITS, "error": ERROR, "cases": cases()}, indent=1, ensure_ascii=False)
    (pathlib.Path(__file__).parent / "cases.json").write_text(text + "\n", encoding="utf-8")


def cases() -> list[dict[str, object]]:
    """Every case with what decides it, and its matrix in decimals."""
    ctx.prec = 300
    limit = {"kernel": "two layers, infinitely wide", "activation": "relu"}
    deep = {"kernel": "deep, infinitely wide", "activation": "relu"}
    leaky, eighths = arb("0.25"), {"weights": LAYER, "unit": "1/8"}
    two = {"kernel": "two layers, (1/m) Σ_r σ'σ' ⟨x, y⟩"} | eighths
    layers = {"kernel": "deep, trained hidden layers", "activation": "relu", "input_weights": LAYER, "unit": "1/8"}
    return [
        _case("relu, plane", limit, PLANE, lambda x, y: _limit(x, y, arb(0))),
        _case("relu, space", limit, SPACE, lambda x, y: _limit(x, y, arb(0))),
        _case("relu, rows that are nearly parallel", limit, WIDE, lambda x, y: _limit(x, y, arb(0))),
        _case("leaky relu", limit | {"activation": "leaky_relu 0.25"}, SPACE, lambda x, y: _limit(x, y, leaky)),
        _case("deep, one layer", deep | {"depth": 1}, PLANE, lambda x, y: _deep_limit(x, y, 1)),
        _case("deep, three layers", deep | {"depth": 3}, SPACE, lambda x, y: _deep_limit(x, y, 3)),
        _case("deep, rows that are nearly parallel", deep | {"depth": 2}, WIDE, lambda x, y: _deep_limit(x, y, 2)),
        _case("two layers", two | {"activation": "relu"}, SPACE, lambda x, y: _shallow(x, y, arb(0))),
        _case("two layers, leaky", two | {"activation": "leaky_relu 0.25"}, SPACE, lambda x, y: _shallow(x, y, leaky)),
        _blocks(layers | {"hidden_weights": [HIDDEN, HIDDEN], "output_weights": OUTPUTS}, SPACE),
    ]


def _case(
    name: str, about: dict[str, object], rows: list[list[int]], entry: Callable[[Row, Row], arb]
) -> dict[str, object]:
    unit = [_unit(row) for row in rows]
    gram = [[entry(x, y) for y in unit] for x in unit]
    return {"name": name} | about | {"directions": rows, "gram": [[_decimal(value) for value in row] for row in gram]}


def _blocks(about: dict[str, object], rows: list[list[int]]) -> dict[str, object]:
    """Two outputs: [n n o o], entry (i, j, a, b) = ⟨∇f_a(x_i), ∇f_b(x_j)⟩."""
    sides = [_walk(_unit(row), [HIDDEN, HIDDEN], OUTPUTS) for row in rows]
    gram = [
        [[[_decimal(_sum(_dot(h, k) * _dot(b[a], c[e]) for (h, b), (k, c) in zip(x, y, strict=True))) for e in range(2)]
          for a in range(2)] for y in sides]
        for x in sides
    ]  # fmt: skip
    return {"name": "deep, two outputs"} | about | {"directions": rows, "gram": gram}


def _limit(x: Row, y: Row, slope: arb) -> arb:
    """⟨x, y⟩ E[σ'(w·x) σ'(w·y)]: both signs alike with probability (π − θ)/π, half of it each, else θ/π."""
    angle = _angle(x, y)
    return _dot(x, y) * ((1 + slope**2) * (arb.pi() - angle) + 2 * slope * angle) / (2 * arb.pi())


def _deep_limit(x: Row, y: Row, depth: int) -> arb:
    """½ Σ_l Σ_{l−1} κ0(Σ_{l−1}) … κ0(Σ_{L−1}) with Σ_0 = κ1(cos θ) and Σ_l = κ1(Σ_{l−1})."""
    angle, sigmas, shares = _angle(x, y), [], []
    for _ in range(depth + 1):
        cosine = (angle.sin() + (arb.pi() - angle) * angle.cos()) / arb.pi()
        sigmas.append(cosine)
        shares.append((arb.pi() - angle) / arb.pi())
        angle = arb(0) if x is y else cosine.acos()
    total = arb(0)
    for layer in range(depth):
        term = sigmas[layer]
        for share in shares[layer + 1 : depth + 1]:
            term *= share
        total += term
    return total / 2


def _shallow(x: Row, y: Row, slope: arb) -> arb:
    """⟨x, y⟩ (1/m) Σ_r σ'(w_r·x) σ'(w_r·y)."""
    signs = [[_slope(_dot(_eighths(w), side), slope) for w in LAYER] for side in (x, y)]
    return _dot(x, y) * _dot(*signs) / len(LAYER)


def _walk(x: Row, hidden: list[list[list[int]]], outputs: list[list[int]]) -> list[tuple[Row, Matrix]]:
    """Of every trained layer what it is given, and the derivative of every output by its pre-activations."""
    given, slopes = [_relu([_dot(_eighths(w), x) for w in LAYER])], []
    for weights in hidden:
        before = [_dot(_eighths(w), given[-1]) for w in weights]
        slopes.append([_slope(z, arb(0)) for z in before])
        given.append(_relu(before))
    backs: list[Matrix] = []
    arriving = [_eighths(row) for row in outputs]
    for layer in reversed(range(len(hidden))):
        backs.insert(0, [[g * s for g, s in zip(row, slopes[layer], strict=True)] for row in arriving])
        columns = list(zip(*map(_eighths, hidden[layer]), strict=True))
        arriving = [[_dot(row, column) for column in columns] for row in backs[0]]
    return list(zip(given[:-1], backs, strict=True))


def _unit(row: Sequence[int]) -> list[arb]:
    norm = arb(sum(value**2 for value in row)).sqrt()
    return [arb(value) / norm for value in row]


def _eighths(row: Sequence[int]) -> list[arb]:
    return [arb(value) / 8 for value in row]


def _relu(values: Iterable[arb]) -> list[arb]:
    return [value * _slope(value, arb(0)) for value in values]


def _slope(value: arb, negative: arb) -> arb:
    if not (value > 0 or value < 0):
        raise ValueError(f"a pre-activation of {value} is on no certain side of 0: choose other weights")
    return arb(1) if value > 0 else negative


def _angle(x: Row, y: Row) -> arb:
    return arb(0) if x is y else _dot(x, y).acos()


def _dot(x: Iterable[arb], y: Iterable[arb]) -> arb:
    return _sum(a * b for a, b in zip(x, y, strict=True))


def _sum(terms: Iterable[arb]) -> arb:
    total = arb(0)
    for term in terms:
        total += term
    return total


def _decimal(ball: arb) -> str:
    """So many digits of it, proved to be within the error."""
    text: str = ball.mid().str(DIGITS, radius=False)
    if not abs(arb(text) - ball) < arb(ERROR):
        raise ValueError(f"{text} is not within {ERROR} of {ball}")
    return text


if __name__ == "__main__":
    main()
