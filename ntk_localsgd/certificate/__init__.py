"""Proof that a given run of Local SGD converges: from its weights, the data and its settings alone.

A certificate speaks of exact arithmetic started from the stored weights and data; every bound it rests on includes the
rounding of its own computation. Mathematics: ``docs/theory.md`` §5.
"""

from ntk_localsgd.certificate.certify import UntilCertified, certify, certify_at_init, forecast, until_certified
from ntk_localsgd.certificate.outcome import Certificate, Method, Obstacle
from ntk_localsgd.certificate.record import write_certificate
from ntk_localsgd.certificate.two_layer.forecast import Forecast

__all__ = [
    "Certificate",
    "Forecast",
    "Method",
    "Obstacle",
    "UntilCertified",
    "certify",
    "certify_at_init",
    "forecast",
    "until_certified",
    "write_certificate",
]
