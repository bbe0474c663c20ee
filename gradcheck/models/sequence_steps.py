"""The steps of the backward passes of embedding, recurrence and attention, one method each."""

from __future__ import annotations


class SequenceSteps:
    """The correct steps."""
