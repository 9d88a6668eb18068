"""Shards: one run shared out over independent jobs, by a hash of each file's path."""

from dataclasses import dataclass

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_bytes


@dataclass(frozen=True)
class Shard:
    """One part of a run: which entries are its, by a hash of their relative paths.

    Attributes:
        index: From 0.
        count: Number of shards; 1: the whole run.

    Raises:
        DataError: `index` is not below `count`.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise DataError(
                f"there is no shard {self.index} of {self.count}", todo=f"name one from 0 to {self.count - 1}"
            )

    def has(self, relative: str) -> bool:
        """Whether the entry at this relative path belongs to this shard."""
        digest = sha256_bytes(relative.encode("utf-8", "surrogateescape"))
        return int(digest[:16], 16) % self.count == self.index
