"""Which errors of an append are final: those are rejections, every other one is worth another try."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.domain.admit import Admission, rejected
from engine.errors import Busy, Invalid, NewerEngine, PlaylogError, Purged, Unavailable, UnknownOutcome
from engine.write.undecidable import UNDECIDABLE

WORTH_ANOTHER_TRY = (Busy, Unavailable, UnknownOutcome, NewerEngine)


def refusal_of(error: BaseException) -> Admission | None:
    """The rejection that the error means for the request it stands for; None when trying again may help.

    An error nobody foresaw is reported to the event loop: it stays with the one request that caused it.
    """
    if isinstance(error, WORTH_ANOTHER_TRY) or not isinstance(error, Exception):
        return None
    if isinstance(error, Invalid | Purged) or (isinstance(error, PlaylogError) and error.code == UNDECIDABLE):
        return rejected(error.code, error.detail)
    context = {"message": "an append failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
    return rejected("internal_error", "the engine failed on this; the process's log says how")


def gravest(errors: Sequence[BaseException]) -> BaseException:
    """The one that a caller must hear of: that something may be committed goes before that nothing is."""
    return next((error for error in errors if isinstance(error, UnknownOutcome)), errors[0])
