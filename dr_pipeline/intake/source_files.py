"""What stands for the files of several sources in DVC, whose dependencies are fixed paths.

Names, sizes and times of change are hashed, not contents: a hundred thousand files take a second. Where a digest
changes, `intake` runs and hashes contents; what they do not change is not done again.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_json
from dr_pipeline.params.params_file import read_document


def source_digests(params: Path) -> dict[str, Any]:
    """Each source's name, number of files and digest; no sources where params.yaml has none.

    Only the roots are read: what else is wrong with a source is for `intake` to say.

    Raises:
        ParamsError: params.yaml cannot be read.
        DataError: The folder of a source is missing.
    """
    dataset = read_document(params)["dataset"]
    sources = dataset.get("sources") if isinstance(dataset, dict) else None
    named = [source for source in sources or () if isinstance(source, dict) and source.get("root")]
    return {
        "schema_version": 1,
        "sources": [
            {"source": str(source.get("name") or source.get("site")), **folder_digest(Path(str(source["root"])))}
            for source in named
        ],
    }


def folder_digest(root: Path) -> dict[str, Any]:
    """The files below a folder, or below the folder that it links to; links further down are not followed.

    Raises:
        DataError: It is no folder.
    """
    if not root.is_dir():
        raise DataError(
            "the folder of a source is missing" + (" (its link has no target)" if root.is_symlink() else ""),
            where=str(root),
            todo="correct `root` in params.yaml under dataset.sources, or link the folder there",
        )
    files = sorted(_files(root))
    return {"files": len(files), "sha256": sha256_json(files)}


def _files(root: Path) -> Iterator[tuple[str, int, int]]:
    """Path below the root, bytes and time of change in nanoseconds."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            yield os.fsencode(os.path.relpath(path, root)).hex(), status.st_size, status.st_mtime_ns
