"""A second opinion on a certificate of two layers, in ball arithmetic: it shares no code with the certificates.

The run is followed with exact numbers that stay beside it, until one radius for all neurons proves the rest. Theory:
``docs/theory.md`` §5.9.
"""

from verification.recheck.stated import Stated, digest, read_certificate
from verification.recheck.walk import Verdict, recheck

__all__ = ["Stated", "Verdict", "digest", "read_certificate", "recheck"]
