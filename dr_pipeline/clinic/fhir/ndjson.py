"""Resources as NDJSON: one a line, those that several examinations share once."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from dr_pipeline.clinic.fhir.resources import Resource
from dr_pipeline.files import atomic_write


def write_ndjson(path: Path, examinations: Iterable[Sequence[Resource]]) -> int:
    """Writes the file, whole or not at all; only its owner may read it.

    Returns:
        The number of resources.
    """
    written: set[str] = set()
    with atomic_write(path, private=True) as stream:
        for resource in (resource for examination in examinations for resource in examination):
            if resource["id"] not in written:
                written.add(resource["id"])
                stream.write(json.dumps(resource, ensure_ascii=False).encode() + b"\n")
    return len(written)
