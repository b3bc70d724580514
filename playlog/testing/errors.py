"""Why a playbook cannot be tried out: each is a failed test that says what to do."""

from __future__ import annotations


class Unscripted(AssertionError):  # noqa: N818  # named as the fact it reports
    """Something is called, and nothing says what it gives."""


class Unknown(AssertionError):  # noqa: N818  # named as the fact it reports
    """The playbook has no such step, or waits for no such signal."""


class Stuck(AssertionError):  # noqa: N818  # named as the fact it reports
    """Nobody will ever move the execution again; the message says what it waits for."""
