"""The papers whose claims are checked, in the order of the report: what each says, its claims and its figures.

This is the project's list of ids. An id stands for its parts too, as on the command line (K4: K4a, K4a-width, …); a
part with an entry of its own belongs there.
"""

import dataclasses
from collections.abc import Iterable

from verification.claims import is_part

__all__ = ["OTHER", "OWN", "PAPERS", "Paper", "paper_of"]


@dataclasses.dataclass(frozen=True)
class Paper:
    """One section of the report.

    Attributes
    ----------
    title
        Heading of the section.
    works
        Authors, titles, venues and years.
    says
        What they say, in a sentence.
    ids
        Claims, with their parts.
    figures
        Figures that show them, by the name of their script.
    """

    title: str
    works: str
    says: str
    ids: tuple[str, ...]
    figures: tuple[str, ...] = ()


OWN = Paper(
    "This project's own",
    "Proofs in `docs/theory.md`.",
    "What the papers' inequalities leave open: exact inequalities between what is measured and what is known, how far "
    "the widths and step sizes asked for lie from those needed (§3), a prediction of the whole run from the kernel at "
    "its start (§4), and a certificate that a given run converges (§5).",
    ("K2-sharp", "K4a-width", "K6a", "K7", "S1a", "S2", "S3", "C6", "C7", "C8"),
    ("prediction", "heterogeneity", "hard_samples", "certificate", "tightness"),
)

#: Claims of scripts of the user's own.
OTHER = Paper(
    "Other claims",
    "Scripts of your own (`--scripts`).",
    "They belong to no paper that this project knows of.",
    (),
)

PAPERS: tuple[Paper, ...] = (
    Paper(
        "Deng, Kamani and Mahdavi 2022: Local SGD on deep ReLU networks",
        "Y. Deng, M. M. Kamani, M. Mahdavi, *Local SGD Optimizes Overparameterized Neural Networks in Polynomial "
        "Time*, AISTATS 2022. The widths' ledger (C5) is that of Zou and Gu 2019 as well.",
        "Local (S)GD trains wide deep ReLU networks in polynomial time: their gradients are not Lipschitz, yet along "
        "its trajectory the gradients of local models stay close to the averaged model's.",
        ("S0", "S1b", "C2", "C3", "C5"),
        ("key_property", "loss_curves", "local_steps"),
    ),
    Paper(
        "Du, Zhai, Poczos and Singh 2019: gradient descent on two-layer networks",
        "S. S. Du, X. Zhai, B. Poczos, A. Singh, *Gradient Descent Provably Optimizes Over-parameterized Neural "
        "Networks*, ICLR 2019.",
        "If no two inputs are parallel, gradient descent trains a wide two-layer ReLU network at a linear rate: no "
        "neuron moves far, so that the Gram matrix stays near its limit H^∞, whose smallest eigenvalue sets the rate.",
        ("K2", "K5", "K6b", "S4", "S5", "S6", "C1"),
        ("lazy_training",),
    ),
    Paper(
        "Allen-Zhu, Li and Song 2019; Zou and Gu 2019: deep networks",
        "Z. Allen-Zhu, Y. Li, Z. Song, *A Convergence Theory for Deep Learning via Over-Parameterization*, ICML 2019; "
        "D. Zou, Q. Gu, *An Improved Analysis of Training Over-parameterized Deep Neural Networks*, NeurIPS 2019.",
        "Near its initialization a wide deep ReLU network has gradients bounded from above and below by its loss, and "
        "is nearly linear: few patterns flip and outputs change little, so that gradient descent converges.",
        ("D1", "D2", "D3", "D4", "D6", "S4-deep", "S5-deep"),
        ("depth",),
    ),
    Paper(
        "Huang, Li, Song and Yang 2021: FL-NTK, Local GD on two-layer networks",
        "B. Huang, X. Li, Z. Song, X. Yang, *FL-NTK: A Neural Tangent Kernel-based Framework for Federated Learning "
        "Convergence Analysis*, ICML 2021.",
        "Federated training of a wide two-layer ReLU network with several local steps reaches zero loss at a linear "
        "rate, although what the server averages are no gradients.",
        ("C4",),
    ),
    Paper(
        "The kernel and its concentration: classical results",
        "Y. Cho, L. K. Saul, *Kernel Methods for Deep Learning*, 2009 and S. Arora, S. S. Du, W. Hu, Z. Li, R. Wang, "
        "*Fine-Grained Analysis of Optimization and Generalization for Overparameterized Two-Layer Neural Networks*, "
        "2019 (K1); W. Hoeffding 1963 (K4a); J. A. Tropp, *User-Friendly Tail Bounds for Sums of Random Matrices*, "
        "2012 (K4b); Z. Song, X. Yang, *Quadratic Suffices for Over-parametrization via Matrix Chernoff Bound*, 2019 "
        "(K6c); S. Oymak, M. Soltanolkotabi, *Toward Moderate Overparameterization*, 2020 (K3); A. Jacot, F. Gabriel, "
        "C. Hongler, *Neural Tangent Kernel*, 2018 (D5).",
        "The Gram matrix of a wide network at initialization concentrates about a limit with a closed form, and hardly "
        "changes while no neuron moves far.",
        ("K1", "K3", "K4", "K6c", "D5"),
        ("spectrum",),
    ),
    OWN,
)


def paper_of(claim_id: str, papers: Iterable[Paper] = PAPERS) -> Paper:
    """The paper with the longest id that selects a claim; `OTHER` if there is none."""
    found = [(len(wanted), paper) for paper in papers for wanted in paper.ids if is_part(claim_id, wanted)]
    return max(found, key=lambda pair: pair[0])[1] if found else OTHER
