"""The paper on deep networks whose depth grows, and its abstract."""

from verification.papers import Line, Paper

__all__ = ["XU_ZHANG"]

XU_ZHANG = Paper(
    "xu-zhang2021",
    "Xu and Zhang 2021: convergence of deep ReLU networks",
    "Y. Xu, H. Zhang, *Convergence of Deep ReLU Networks*, 2021 (arXiv 2107.12530). Only the abstract is known: the "
    "sufficient condition, explicit forms and counts of domains are this project's own, `docs/theory.md` §7.",
    "As the depth of a ReLU network grows, its outputs converge if its weight matrices tend to the identity and its "
    "biases to 0 fast enough, and under conditions only if they do.",
    44,
    (
        Line(
            "We explore convergence of deep neural networks with the popular ReLU activation function, as the depth of "
            "the networks tends to infinity.",
            ("X2", "X3"),
        ),
        Line(
            "To this end, we introduce the notion of activation domains and activation matrices of a ReLU network.",
            ("X4-line", "X4-plane", "X4-tent"),
        ),
        Line(
            "By replacing applications of the ReLU activation function by multiplications with activation matrices on "
            "activation domains, we obtain an explicit expression of the ReLU network.",
            ("X1", "X1-kinks"),
        ),
        Line(
            "We then identify the convergence of the ReLU networks as convergence of a class of infinite products of "
            "matrices. Sufficient and necessary conditions for convergence of these infinite products of matrices are "
            "studied.",
            ("X1", "X2"),
            "products apart from the networks that they make: the conditions studied are not in the abstract.",
        ),
        Line(
            "As a result, we establish necessary conditions for ReLU networks to converge that the sequence of weight "
            "matrices converges to the identity matrix and the sequence of the bias vectors converges to zero as the "
            "depth of ReLU networks increases to infinity.",
            ("X3", "X3-limit"),
        ),
        Line(
            "Moreover, we obtain sufficient conditions in terms of the weight matrices and bias vectors at hidden "
            "layers for pointwise convergence of deep ReLU networks.",
            ("X2", "X2-output"),
            "their own conditions: they are not in the abstract.",
        ),
        Line(
            "These results provide mathematical insights to convergence of deep neural networks. Experiments are "
            "conducted to mathematically verify the results and to illustrate their potential usefulness in "
            "initialization of deep neural networks.",
            ("X5-norm", "X5-angle", "X5-gram"),
            "training from such initializations; their experiments are not in the abstract.",
        ),
    ),
)
