"""The ledger of openings: a line for every configuration whose outer folds were predicted, with its code version.

The ledger lies beside the tables and belongs in version control, as reports/test_openings.jsonl does: an opening stays
counted when the scratch folder is removed or a table is written again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from dr_pipeline.errors import DataError

LEDGER = "openings.jsonl"


@dataclass(frozen=True)
class Opening:
    """The unit that is counted once, in whatever experiment and however often it runs.

    Attributes:
        configuration: Hash of an arm's values.
        code_sha256: Code version of the result: other code is another attempt on the same outer folds.
        canvas_index_sha256: Hash of the photographs.
        division: Hash of the folds.
    """

    configuration: str
    code_sha256: str
    canvas_index_sha256: str
    division: str


def record_opening(ledger: Path, opening: Opening, *, experiment: str, arm: str) -> None:
    """Records that outer folds are opened, before anything of them is predicted; once per opening.

    Args:
        ledger: JSON lines; created where it is missing, else appended to.
        opening: What is opened.
        experiment: Name of the experiment that is the first to open it.
        arm: Name of its arm.

    Raises:
        DataError: The ledger holds an unrecognised line; nothing is written.
    """
    if opening in read_openings(ledger):
        return
    line = {
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "experiment": experiment,
        "arm": arm,
        **asdict(opening),
    }
    ledger.parent.mkdir(parents=True, exist_ok=True)
    unended = ledger.exists() and ledger.read_bytes()[-1:] not in (b"", b"\n")  # an editor may have saved it so
    with ledger.open("a", encoding="utf-8") as stream:
        stream.write("\n" * unended + json.dumps(line, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def configurations_opened(ledger: Path, canvas_index_sha256: str) -> int:
    """How many configurations have had an outer fold of these photographs predicted; each code version counts.

    Raises:
        DataError: The ledger holds an unrecognised line.
    """
    openings = [item for item in read_openings(ledger) if item.canvas_index_sha256 == canvas_index_sha256]
    return len({(opening.configuration, opening.code_sha256) for opening in openings})


def read_openings(ledger: Path) -> list[Opening]:
    """All openings in order; none where there is no ledger.

    Raises:
        DataError: The ledger holds an unrecognised line.
    """
    if not ledger.exists():
        return []
    openings = []
    for number, line in enumerate(ledger.read_bytes().splitlines(), start=1):
        try:
            openings.append(_opening(json.loads(line)))
        except (ValueError, RecursionError, KeyError, TypeError):  # not UTF-8 and not JSON are ValueErrors
            raise DataError(
                "the ledger of opened configurations is damaged",
                where=f"{ledger}, line {number}",
                todo="restore it from version control, both sides' lines after a merge; do not remove lines: "
                "they count how often these photographs were opened",
            ) from None
    return openings


def _opening(line: Mapping[str, str]) -> Opening:
    return Opening(
        configuration=str(line["configuration"]),
        code_sha256=str(line["code_sha256"]),
        canvas_index_sha256=str(line["canvas_index_sha256"]),
        division=str(line["division"]),
    )
