"""The papers whose claims are checked. A claim names its paper; a new one may stand beside its claims."""

import dataclasses

__all__ = ["ALLEN_ZHU", "CLASSICAL", "DENG", "DU", "HUANG", "OTHER", "OWN", "Paper"]


@dataclasses.dataclass(frozen=True)
class Paper:
    """One section of the report.

    Attributes
    ----------
    name
        Selects its claims on the command line.
    title
        Heading of the section.
    works
        Authors, titles, venues and years.
    says
        What they say, in a sentence.
    position
        Where the section stands: ascending, equal ones by title.
    """

    name: str
    title: str
    works: str
    says: str
    position: float = 50


DENG = Paper(
    "deng2022",
    "Deng, Kamani and Mahdavi 2022: Local SGD on deep ReLU networks",
    "Y. Deng, M. M. Kamani, M. Mahdavi, *Local SGD Optimizes Overparameterized Neural Networks in Polynomial "
    "Time*, AISTATS 2022. The widths' ledger (C5) is that of Zou and Gu 2019 as well.",
    "Local (S)GD trains wide deep ReLU networks in polynomial time: their gradients are not Lipschitz, yet along "
    "its trajectory the gradients of local models stay close to the averaged model's.",
    10,
)

DU = Paper(
    "du2019",
    "Du, Zhai, Poczos and Singh 2019: gradient descent on two-layer networks",
    "S. S. Du, X. Zhai, B. Poczos, A. Singh, *Gradient Descent Provably Optimizes Over-parameterized Neural "
    "Networks*, ICLR 2019.",
    "If no two inputs are parallel, gradient descent trains a wide two-layer ReLU network at a linear rate: no "
    "neuron moves far, so that the Gram matrix stays near its limit H^∞, whose smallest eigenvalue sets the "
    "rate.",
    20,
)

ALLEN_ZHU = Paper(
    "allen-zhu2019",
    "Allen-Zhu, Li and Song 2019; Zou and Gu 2019: deep networks",
    "Z. Allen-Zhu, Y. Li, Z. Song, *A Convergence Theory for Deep Learning via Over-Parameterization*, ICML "
    "2019; D. Zou, Q. Gu, *An Improved Analysis of Training Over-parameterized Deep Neural Networks*, NeurIPS "
    "2019.",
    "Near its initialization a wide deep ReLU network has gradients bounded from above and below by its loss, "
    "and is nearly linear: few patterns flip and outputs change little, so that gradient descent converges.",
    30,
)

HUANG = Paper(
    "huang2021",
    "Huang, Li, Song and Yang 2021: FL-NTK, Local GD on two-layer networks",
    "B. Huang, X. Li, Z. Song, X. Yang, *FL-NTK: A Neural Tangent Kernel-based Framework for Federated Learning "
    "Convergence Analysis*, ICML 2021.",
    "Federated training of a wide two-layer ReLU network with several local steps reaches zero loss at a linear "
    "rate, although what the server averages are no gradients.",
    40,
)

CLASSICAL = Paper(
    "classical",
    "The kernel and its concentration: classical results",
    "Y. Cho, L. K. Saul, *Kernel Methods for Deep Learning*, 2009 and S. Arora, S. S. Du, W. Hu, Z. Li, R. Wang, "
    "*Fine-Grained Analysis of Optimization and Generalization for Overparameterized Two-Layer Neural Networks*, "
    "2019 (K1); W. Hoeffding 1963 (K4a); J. A. Tropp, *User-Friendly Tail Bounds for Sums of Random Matrices*, "
    "2012 (K4b); Z. Song, X. Yang, *Quadratic Suffices for Over-parametrization via Matrix Chernoff Bound*, 2019 "
    "(K6c); S. Oymak, M. Soltanolkotabi, *Toward Moderate Overparameterization*, 2020 (K3); A. Jacot, F. "
    "Gabriel, C. Hongler, *Neural Tangent Kernel*, 2018 (D5).",
    "The Gram matrix of a wide network at initialization concentrates about a limit with a closed form, and "
    "hardly changes while no neuron moves far.",
    60,
)

OWN = Paper(
    "own",
    "This project's own",
    "Proofs in `docs/theory.md`.",
    "What the papers' inequalities leave open: exact inequalities between what is measured and what is known, "
    "how far the widths and step sizes asked for lie from those needed (§3), a prediction of the whole run from "
    "the kernel at its start (§4), and a certificate that a given run converges (§5).",
    70,
)

OTHER = Paper(
    "other",
    "Other claims",
    "Scripts of your own (`--scripts`).",
    "They belong to no paper that this project knows of.",
    100,
)
