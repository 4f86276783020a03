"""All mutations, by the part of the project that they break."""

from tests.mutations.cases import bounds, certificate, commands, evidence, ground, kernels, training, verification

__all__ = ["MUTATIONS"]

MUTATIONS = (
    *bounds.MUTATIONS,
    *ground.MUTATIONS,
    *kernels.MUTATIONS,
    *training.MUTATIONS,
    *certificate.MUTATIONS,
    *evidence.MUTATIONS,
    *commands.MUTATIONS,
    *verification.MUTATIONS,
)
