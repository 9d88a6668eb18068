"""The stage gradability refuses tables that are not of one run."""

import argparse
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.files import write_csv
from dr_pipeline.schema import (
    CANVAS_INDEX_COLUMNS,
    CANVAS_INDEX_VERSION,
    MANIFEST_COLUMNS,
    MANIFEST_VERSION,
    SPLITS_COLUMNS,
    SPLITS_VERSION,
)
from dr_pipeline.stages import gradability
from tests.factories import REPOSITORY


def table(path: Path, columns: tuple[str, ...], version: int, names: str, **cells: str) -> Path:
    rows = [dict.fromkeys(columns, "") | cells | {"schema_version": str(version), "image_id": name} for name in names]
    write_csv(path, columns, rows)
    return path


@pytest.mark.parametrize("missing", ["index", "audited"])
def test_a_split_of_other_photographs_is_refused(missing: str, tmp_path: Path) -> None:
    args = argparse.Namespace(
        params=tmp_path / "params.yaml",
        index=table(
            tmp_path / "index.csv",
            CANVAS_INDEX_COLUMNS,
            CANVAS_INDEX_VERSION,
            "a" if missing == "index" else "ab",
            status="scored",
            quality="0.9",
        ),
        audited=table(
            tmp_path / "audited.csv", MANIFEST_COLUMNS, MANIFEST_VERSION, "a" if missing == "audited" else "ab"
        ),
        splits=table(
            tmp_path / "splits.csv", SPLITS_COLUMNS, SPLITS_VERSION, "ab", grade="0", split="development", fold="0"
        ),
        thresholds=tmp_path / "t.json",
        out=tmp_path / "o.csv",
        report=tmp_path / "r.json",
    )
    args.params.write_text((REPOSITORY / "params.yaml").read_text())
    with pytest.raises(DataError, match="1 photographs of the split are not in both other tables, such as 'b'"):
        gradability.run(args)
    assert not args.thresholds.exists()
