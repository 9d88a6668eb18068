"""What has been opened, for good: a line for every configuration whose outer folds were predicted, by which code.

The ledger stands beside the tables and belongs into version control, as reports/test_openings.jsonl does: neither a
removed scratch folder nor a table made anew makes an opening undone.
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
class Combination:
    """What is counted once, in whatever experiment and however often it runs.

    Attributes:
        configuration: Hash of an arm's values.
        code_sha256: Of the code that decides a result: other code is another attempt on the same outer folds.
        canvas_index_sha256: Of the photographs.
        division: Hash of who is in which part of which fold.
    """

    configuration: str
    code_sha256: str
    canvas_index_sha256: str
    division: str


def record_opening(ledger: Path, combination: Combination, *, experiment: str, arm: str) -> None:
    """Notes that outer folds are being opened, before anything of them is predicted; once for each combination.

    Args:
        ledger: JSON lines; made where it is missing, appended to where not.
        combination: What is opened.
        experiment: Name of the experiment that is the first to open it.
        arm: Name of its arm.

    Raises:
        DataError: The ledger holds a line that is none of ours; nothing is written.
    """
    if combination in read_openings(ledger):
        return
    line = {
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "experiment": experiment,
        "arm": arm,
        **asdict(combination),
    }
    ledger.parent.mkdir(parents=True, exist_ok=True)
    unended = ledger.exists() and ledger.read_bytes()[-1:] not in (b"", b"\n")  # an editor may have saved it so
    with ledger.open("a", encoding="utf-8") as stream:
        stream.write("\n" * unended + json.dumps(line, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def configurations_opened(ledger: Path, canvas_index_sha256: str) -> int:
    """How many configurations have had an outer fold of these photographs predicted; by other code, it is another one.

    Raises:
        DataError: The ledger holds a line that is none of ours.
    """
    mine = [one for one in read_openings(ledger) if one.canvas_index_sha256 == canvas_index_sha256]
    return len({(one.configuration, one.code_sha256) for one in mine})


def read_openings(ledger: Path) -> list[Combination]:
    """All lines, in their order; none where there is no ledger.

    Raises:
        DataError: The ledger holds a line that is none of ours.
    """
    if not ledger.exists():
        return []
    openings = []
    for number, line in enumerate(ledger.read_bytes().splitlines(), start=1):
        try:
            openings.append(_combination(json.loads(line)))
        except (ValueError, RecursionError, KeyError, TypeError):  # not UTF-8 and not JSON are ValueErrors
            raise DataError(
                "the ledger of opened configurations is damaged",
                where=f"{ledger}, line {number}",
                todo="restore it from version control, both sides' lines after a merge; do not remove lines, they say "
                "how often these photographs have judged",
            ) from None
    return openings


def _combination(line: Mapping[str, str]) -> Combination:
    return Combination(
        configuration=str(line["configuration"]),
        code_sha256=str(line["code_sha256"]),
        canvas_index_sha256=str(line["canvas_index_sha256"]),
        division=str(line["division"]),
    )
