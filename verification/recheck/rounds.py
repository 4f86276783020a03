"""A round with frozen patterns, and how far neurons go if some of them may change."""

from typing import NamedTuple

import numpy as np
from flint import arb, arb_mat

from verification.recheck.balls import above, exact, identity, is_positive, middle, norm
from verification.recheck.stated import Stated

__all__ = ["Rounds"]


class Rounds(NamedTuple):
    """The frozen round: P^k D^{-1} and DΘS_k in norm, D itself, and β ≥ ‖DBD^{-1}‖₂."""

    step_size: arb
    clients: list[list[int]]
    root: arb_mat
    root_norm: arb
    inverse_norm: arb
    contraction: arb
    starts: list[arb]
    ends: list[arb]

    @classmethod
    def of(cls, stated: Stated, gram: arb_mat, *, euclidean: bool) -> "Rounds | None":
        """In the norm of D near M^{1/2}, or of D = 1; None where Θ ≻ 0 or η λ_max(Θ_cc) ≤ 1 is not shown."""
        n, tau, eta = gram.nrows(), stated.local_steps, stated.step_size
        owner = {i: c for c, part in enumerate(stated.clients) for i in part}
        one = identity(n)
        local = arb_mat(
            [[one[i, j] - eta * gram[i, j] if owner[i] == owner[j] else 0 for j in range(n)] for i in range(n)]
        )
        # 1 − ηΘ_cc ≽ 0 and ≼ 1, and Θ ≻ 0; where η λ_max is 1 itself, this is not shown.
        if not (is_positive(local) and is_positive(gram)):
            return None
        powers, sums = [one], [arb_mat(n, n)]
        for _ in range(tau):
            sums.append(sums[-1] + powers[-1] * eta)
            powers.append(powers[-1] * local)
        # D is any matrix that can be inverted.
        root = one
        if not euclidean:
            values, vectors = np.linalg.eigh(middle(sums[tau]))
            root = exact(vectors * np.sqrt(np.maximum(values, float(eta) / 2)) @ vectors.T)
        try:
            inverse = root.inv()
        except ZeroDivisionError:
            return None
        operator = one - gram * sums[tau] * (arb(1) / len(stated.clients))
        root_norm, inverse_norm, contraction = (norm(each) for each in (root, inverse, root * operator * inverse))
        starts = [norm(power * inverse) for power in powers[:tau]]
        ends = [norm(root * gram * sums[tau - 1 - k]) for k in range(tau)]
        return cls(eta, stated.clients, root, root_norm, inverse_norm, contraction, starts, ends)

    def radius(self, changes: arb_mat, unit: arb, spectral: arb) -> tuple[arb, arb] | None:
        """ρ and the radius that neurons need, for |Θ̃ − Θ| ≤ ``changes`` and ``unit`` ≥ ‖Dr‖/√m; None where ρ ≥ 1."""
        blocks = [arb_mat([[changes[i, j] for j in part] for i in part]) for part in self.clients]
        error, inside = norm(changes), arb(0)
        for block in blocks:
            own = norm(block)
            inside = inside if own <= inside else own
        steps: list[arb] = []
        for start in self.starts:
            steps.append(above(start + self.step_size * inside * sum(steps, arb(0))))
        growth = sum(
            ((self.root_norm * error + end * inside) * a for end, a in zip(self.ends, steps, strict=True)), arb(0)
        )
        rate = above(self.contraction + self.step_size / len(self.clients) * growth)
        if not rate < 1:
            return None
        local = self.step_size * sum(steps, arb(0)) * spectral
        return rate, above(unit * local * (1 / (len(self.clients) * (1 - rate)) + 1))
