"""The papers whose claims are checked. A claim names its paper; a new one may stand beside its claims."""

import dataclasses

from ntk_localsgd.errors import InputError

__all__ = ["ALLEN_ZHU", "CLASSICAL", "DENG", "DU", "HUANG", "OTHER", "OWN", "Line", "Paper"]


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of an abstract, as published, and what is made of it.

    Attributes
    ----------
    text
        A sentence or a part of one.
    claims
        Ids of the claims that test it.
    untested
        What of it no claim tests, and why; empty: the claims test all of it.

    Raises
    ------
    InputError
        If it is neither tested nor said why it is not.
    """

    text: str
    claims: tuple[str, ...] = ()
    untested: str = ""

    def __post_init__(self) -> None:
        if not (self.claims or self.untested):
            raise InputError(f"line {self.text!r} of an abstract has no claims, needs some or a reason.")


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
    abstract
        The paper's abstract, line by line, for papers that are checked as a whole.
    theorem
        Ids of the claims that are its main theorem.
    """

    name: str
    title: str
    works: str
    says: str
    position: float = 50
    abstract: tuple[Line, ...] = ()
    theorem: tuple[str, ...] = ()


#: The main paper: Local SGD on deep ReLU networks.
DENG = Paper(
    "deng2022",
    "Deng, Kamani and Mahdavi 2022: Local SGD on deep ReLU networks",
    "Y. Deng, M. M. Kamani, M. Mahdavi, *Local SGD Optimizes Overparameterized Neural Networks in Polynomial "
    "Time*, AISTATS 2022. The widths' ledger (C5) is that of Zou and Gu 2019 as well.",
    "Local (S)GD trains wide deep ReLU networks in polynomial time: their gradients are not Lipschitz, yet along "
    "its trajectory the gradients of local models stay close to the averaged model's.",
    10,
    (
        Line(
            "In this paper we prove that Local (S)GD (or FedAvg) can optimize deep neural networks with Rectified "
            "Linear Unit (ReLU) activation function in polynomial time.",
            ("C2", "C3", "C5", "C6-width"),
        ),
        Line(
            "Despite the established convergence theory of Local SGD on optimizing general smooth functions in "
            "communication-efficient distributed optimization, its convergence on non-smooth ReLU networks still "
            "eludes full theoretical understanding.",
            untested="about the literature.",
        ),
        Line(
            "The key property used in many Local SGD analysis on smooth function is gradient Lipschitzness, so that "
            "the gradient on local models will not drift far away from that on averaged model. However, this "
            "decent property does not hold in networks with non-smooth ReLU activation function.",
            ("S0",),
        ),
        Line(
            "We show that, even though ReLU network does not admit gradient Lipschitzness property, the difference "
            "between gradients on local models and average model will not change too much, under the dynamics of "
            "Local SGD.",
            ("S1b", "S1b-recalled", "S1a", "S3"),
        ),
        Line(
            "We validate our theoretical results via extensive experiments.",
            ("C7", "S4-deep", "S5-deep"),
            "their experiments are not repeated: their settings are not in the abstract.",
        ),
        Line(
            "This work is the first to show the convergence of Local SGD on non-smooth functions, and will shed "
            "lights on the optimization theory of federated training of deep neural networks.",
            untested="about the literature.",
        ),
    ),
    ("C2", "C3"),
)

#: Gradient descent on two layers.
DU = Paper(
    "du2019",
    "Du, Zhai, Poczos and Singh 2019: gradient descent on two-layer networks",
    "S. S. Du, X. Zhai, B. Poczos, A. Singh, *Gradient Descent Provably Optimizes Over-parameterized Neural "
    "Networks*, ICLR 2019.",
    "If no two inputs are parallel, gradient descent trains a wide two-layer ReLU network at a linear rate: no "
    "neuron moves far, so that the Gram matrix stays near its limit H^∞, whose smallest eigenvalue sets the "
    "rate.",
    20,
    theorem=("C1",),
)

#: Gradient descent on deep networks.
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

#: FL-NTK: Local GD on two layers.
HUANG = Paper(
    "huang2021",
    "Huang, Li, Song and Yang 2021: FL-NTK, Local GD on two-layer networks",
    "B. Huang, X. Li, Z. Song, X. Yang, *FL-NTK: A Neural Tangent Kernel-based Framework for Federated Learning "
    "Convergence Analysis*, ICML 2021.",
    "Federated training of a wide two-layer ReLU network with several local steps reaches zero loss at a linear "
    "rate, although what the server averages are no gradients.",
    40,
    (
        Line(
            "Federated Learning (FL) is an emerging learning scheme that allows different distributed clients to "
            "train deep neural networks together without data sharing. Neural networks have become popular due to "
            "their unprecedented success. To the best of our knowledge, the theoretical guarantees of FL concerning "
            "neural networks with explicit forms and multi-step updates are unexplored.",
            untested="about the literature.",
        ),
        Line(
            "Nevertheless, training analysis of neural networks in FL is non-trivial for two reasons: first, the "
            "objective loss function we are optimizing is non-smooth and non-convex,",
            ("S0",),
        ),
        Line("and second, we are even not updating in the gradient direction.", ("F1", "F2")),
        Line(
            "Existing convergence results for gradient descent-based methods heavily rely on the fact that the "
            "gradient direction is used for updating.",
            untested="about the literature.",
        ),
        Line(
            "The current paper presents a new class of convergence analysis for FL, Federated Neural Tangent Kernel "
            "(FL-NTK), which corresponds to overparamterized ReLU neural networks trained by gradient descent in "
            "FL and is inspired by the analysis in Neural Tangent Kernel (NTK).",
            ("F1", "C7"),
        ),
        Line(
            "Theoretically, FL-NTK converges to a global-optimal solution at a linear rate with properly tuned "
            "learning parameters.",
            ("C4", "C4-server", "C4-unequal"),
        ),
        Line(
            "Furthermore, with proper distributional assumptions, FL-NTK can also achieve good generalization.",
            ("F3",),
            "the assumptions, which the abstract does not name.",
        ),
        Line(
            "The proposed theoretical analysis scheme can be generalized to more complex neural networks.",
            ("C2", "C3"),
            "that it is this scheme: deep networks are those of Deng et al. 2022.",
        ),
    ),
    ("C4",),
)

#: The kernel and its concentration.
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

#: This project's own.
OWN = Paper(
    "own",
    "This project's own",
    "Proofs in `docs/theory.md`.",
    "What the papers' inequalities leave open: exact inequalities between what is measured and what is known, "
    "how far the widths and step sizes asked for lie from those needed (§3), a prediction of the whole run from "
    "the kernel at its start (§4), and a certificate that a given run converges (§5).",
    70,
)

#: Claims that belong to no paper.
OTHER = Paper(
    "other",
    "Other claims",
    "Scripts of your own (`--scripts`).",
    "They belong to no paper that this project knows of.",
    100,
)
