"""Writes CSV tables with cells that no typed table would hold."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dr_pipeline.files import CsvWriter, write_text


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows as UTF-8 CSV with exactly `columns`; None becomes an empty cell."""
    buffer = io.StringIO()
    writer = CsvWriter(buffer, columns)
    writer.header()
    for row in rows:
        writer.row(row)
    write_text(path, buffer.getvalue())
