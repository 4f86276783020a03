"""The paper on nonlinearity and entropy, and its abstract."""

from verification.papers import Line, Paper

__all__ = ["KULATHUNGA"]

KULATHUNGA = Paper(
    "kulathunga2021",
    "Kulathunga et al. 2021: nonlinearity and entropy",
    "N. Kulathunga et al., *Effects of Nonlinearity and Network Architecture on the Performance of Supervised Neural "
    "Networks*, Algorithms 14(2):51, 2021. Only the abstract is known here; E1 is this project's, `docs/theory.md` §8. "
    "Only hidden layers are trained here, by SGD on squares, on digits.",
    "Leaky ReLU loses information where its slope is small; the entropy of what layers put out shows it, and ReLU pays "
    "where parameters abound.",
    48,
    (
        Line(
            "The nonlinearity of activation functions used in deep learning models is crucial for the success of "
            "predictive models. Several simple nonlinear functions, including Rectified Linear Unit (ReLU) and "
            "Leaky-ReLU (L-ReLU) are commonly used in neural networks to impose the nonlinearity. In practice, these "
            "functions remarkably enhance the model accuracy. However, there is limited insight into the effects of "
            "nonlinearity in neural networks on their performance.",
            untested="about the literature.",
        ),
        Line(
            "Here, we investigate the performance of neural network models as a function of nonlinearity using ReLU "
            "and L-ReLU activation functions in the context of different model architectures and data domains.",
            ("E2", "E3"),
            "other data domains than digits.",
        ),
        Line(
            "We use entropy as a measurement of the randomness, to quantify the effects of nonlinearity in different "
            "architecture shapes on the performance of neural networks.",
            ("E1", "E2"),
        ),
        Line(
            "We show that the ReLU nonliearity is a better choice for activation function mostly when the network has "
            "sufficient number of parameters.",
            ("E3", "E3-parameters"),
        ),
        Line(
            "However, we found that the image classification models with transfer learning seem to perform well with "
            "L-ReLU in fully connected layers.",
            untested="it needs image networks trained elsewhere, of which none comes with this project.",
        ),
        Line(
            "We show that the entropy of hidden layer outputs in neural networks can fairly represent the fluctuations "
            "in information loss as a function of nonlinearity.",
            ("E1", "E1-vectors", "E2"),
        ),
        Line(
            "Furthermore, we investigate the entropy profile of shallow neural networks as a way of representing their "
            "hidden layer dynamics.",
            ("E4",),
        ),
    ),
)
