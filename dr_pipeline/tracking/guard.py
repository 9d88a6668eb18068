"""The one place where a tracker's failure becomes a warning: it must not kill a five-hour training."""

import logging
import os
from collections.abc import Callable

SWITCH = "DR_PIPELINE_TRACKING"
_log = logging.getLogger(__name__)


def switched_on() -> bool:
    """`DR_PIPELINE_TRACKING` decides, "on" or "off"; where it is not set, what DVC runs is recorded."""
    return os.environ.get(SWITCH, "on" if os.environ.get("DVC_STAGE") else "off") == "on"


def guarded(call: Callable[[], None]) -> bool:
    """Calls `call`; a failure is a warning on standard error.

    Returns:
        Whether it succeeded.
    """
    try:
        call()
    except Exception as error:  # whatever MLflow, its database, a server or a half-written file raises
        _log.warning(
            "MLflow does not record this stage (%s: %s). Results are not affected; "
            "`dr-pipeline track rebuild` records them later, %s=off turns this off.",
            type(error).__name__,
            error,
            SWITCH,
        )
        return False
    return True
