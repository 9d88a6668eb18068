"""The one place where a tracker's failure becomes a warning: it must not kill a five-hour training."""

import logging
import os
from collections.abc import Callable

from dr_pipeline.errors import DrPipelineError, EnvironmentProblem
from dr_pipeline.tracking.remote import is_known_away, without_credentials

SWITCH = "DR_PIPELINE_TRACKING"
_log = logging.getLogger(__name__)


def switched_on() -> bool:
    """`DR_PIPELINE_TRACKING` decides, "on" or "off"; where it is not set, what DVC runs is recorded.

    Off too where an earlier stage of this run has reported that the server is away.
    """
    on = os.environ.get(SWITCH, "on" if os.environ.get("DVC_STAGE") else "off") == "on"
    return on and not is_known_away(os.environ.get("MLFLOW_TRACKING_URI", ""))


def guarded(call: Callable[[], None]) -> bool:
    """Calls `call`; a failure is a warning on standard error.

    Returns:
        Whether it succeeded.
    """
    try:
        call()
    except Exception as error:  # whatever MLflow, its database, a server or a half-written file raises
        _log.warning(
            "MLflow does not record %s (%s). Results are not affected; "
            "`dr-pipeline track rebuild` records them later, %s=off turns this off.",
            "this run" if isinstance(error, EnvironmentProblem) else "this stage",
            without_credentials(_cause(error)),
            SWITCH,
        )
        return False
    return True


def _cause(error: Exception) -> str:
    if isinstance(error, DrPipelineError):
        return f"{error.what}: {error.where}" if error.where else error.what
    return f"{type(error).__name__}: {error}"
