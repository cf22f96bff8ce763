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
}
