"""The figures that the SVM gives of itself, in `svm status` and in /metrics: names, kinds, meanings.

In /metrics a figure is `kvmla_<name>`, with `_total` behind a counter. docs/operations.md has this
table for operators.
"""

from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """What a name stands for. A counter only grows, from 0 when the SVM starts."""

    kind: Literal["counter", "gauge"]
    help: str


FIGURES = {
    "guests_attached": Figure("gauge", "Guests attached now"),
    "guest_attached": Figure("counter", "Times that a guest attached"),
    "guest_breaches": Figure("counter", "Calls of guests that were ended for breaking a rule or a limit"),
    "guest_uploads": Figure("counter", "Uploads that guests began"),
    "guest_uploads_refused": Figure("counter", "Uploads that were not accepted"),
    "protection_digests": Figure("counter", "Digests that guests asked about"),
    "protection_hits": Figure("counter", "Digests that were answered at once"),
    "protection_overridden": Figure("counter", "Digests that an administrator's override answered"),
    "protection_contents": Figure("counter", "Contents that were given to the engines"),
    "protection_content_bytes": Figure("counter", "Bytes of contents that were given to the engines"),
    "ends_malicious": Figure("counter", "Scans that ended as MALICIOUS"),
    "ends_suspicious": Figure("counter", "Scans that ended as SUSPICIOUS"),
    "ends_not_detected": Figure("counter", "Scans that ended as NOT_DETECTED"),
    "ends_too_large": Figure("counter", "Scans that ended as TOO_LARGE"),
    "ends_timed_out": Figure("counter", "Scans that ended as TIMED_OUT"),
    "ends_engine_error": Figure("counter", "Scans that ended as ENGINE_ERROR"),
    "ends_encrypted": Figure("counter", "Scans that ended as ENCRYPTED"),
    "ends_overloaded": Figure("counter", "Scans that ended as OVERLOADED"),
}
