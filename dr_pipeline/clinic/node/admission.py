"""What the node takes: how much may wait, and the DICOM statuses of its answers. Pure rules."""

from dataclasses import dataclass
from enum import IntEnum

from dr_pipeline.fundus.limits import MAX_FILE_BYTES


class StoreStatus(IntEnum):
    """Answers to a C-STORE request (PS3.4, B.2.3); a sender keeps what is not `STORED`, and tries again."""

    STORED = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_MISMATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True)
class Limits:
    """What may wait for its score, and what a sender may do.

    Attributes:
        max_waiting: Photographs that wait.
        max_waiting_bytes: Bytes that wait.
        reserve_bytes: Free space of the disk that stays free, for scores, reports and the table.
        max_associations: Associations at a time.
        max_association_s: An association that lasts longer is aborted.
        idle_s: An association without a message for so long is aborted.
        max_object_bytes: Of one photograph.
        max_pdu_bytes: Of one protocol data unit, negotiated and enforced.
    """

    max_waiting: int = 5_000
    max_waiting_bytes: int = 20 << 30
    reserve_bytes: int = 1 << 30
    max_associations: int = 10
    max_association_s: float = 3600.0
    idle_s: float = 60.0
    max_object_bytes: int = MAX_FILE_BYTES
    max_pdu_bytes: int = 1 << 20

    def why_full(self, *, waiting: int, waiting_bytes: int, free_bytes: int, new_bytes: int) -> str:
        """Why a further photograph of `new_bytes` cannot be taken; empty where it can."""
        if waiting >= self.max_waiting:
            return f"{waiting} photographs wait, the limit"
        if waiting_bytes + new_bytes > self.max_waiting_bytes:
            return f"{waiting_bytes} bytes wait, near the limit"
        if free_bytes - new_bytes < self.reserve_bytes:
            return "the disk is nearly full"
        return ""
