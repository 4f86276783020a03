"""The paper, with its abstract line by line."""

from verification.papers import Line, Paper

__all__ = ["ZHANG"]

ZHANG = Paper(
    "zhang2021",
    "Zhang, Zhang, Hong, Sun and Luo 2021: fewer than n neurons",
    "J. Zhang, Y. Zhang, M. Hong, R. Sun, Z.-Q. Luo, *When Expressivity Meets Trainability: Fewer than n Neurons Can "
    "Work*, NeurIPS 2021.",
    "A smooth network with one hidden layer of 2n/d neurons can fit n samples, and has a region without bad stationary "
    "points; gradient descent that is projected onto it trains narrow networks.",
    45,
    (
        Line(
            "Modern neural networks are often quite wide, causing large memory and computation costs. It is thus of "
            "great interest to train a narrower network. However, training narrow neural nets remains a "
            "challenging task.",
            untested="a motivation.",
        ),
        Line(
            "We ask two theoretical questions: Can narrow networks have as strong expressivity as wide ones? If so, "
            "does the loss function exhibit a benign optimization landscape? In this work, we provide partially "
            "affirmative answers to both questions for 1-hidden-layer networks with fewer than n (sample size) "
            "neurons when the activation is smooth.",
            ("N2", "N3"),
        ),
        Line(
            "First, we prove that as long as the width m>=2n=d (where d is the input dimension), its expressivity "
            "is strong, i.e., there exists at least one global minimizer with zero training loss.",
            ("N2",),
        ),
        Line(
            "Second, we identify a nice local region with no local-min or saddle points.",
            ("N3", "N1"),
            "that the region is the paper's: only that there is one stands in the abstract.",
        ),
        Line(
            "Nevertheless, it is not clear whether gradient descent can stay in this nice region.",
            untested="a question.",
        ),
        Line(
            "Third, we consider a constrained optimization formulation where the feasible region is the nice local "
            "region, and prove that every KKT point is a nearly global minimizer.",
            ("N5",),
            "points with active constraints: the paper's region is not in the abstract.",
        ),
        Line(
            "It is expected that projected gradient methods converge to KKT points under mild technical conditions, "
            "but we leave the rigorous convergence analysis to future work.",
            untested="an expectation.",
        ),
        Line(
            "Thorough numerical results show that projected gradient methods on this constrained formulation "
            "significantly outperform SGD for training narrow neural nets.",
            ("N4",),
            "their data, networks and step sizes, which are not in the abstract.",
        ),
    ),
    ("N2",),
)
