"""The stage gradability refuses tables that are not of one run."""

import argparse
from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.schema import Status
from dr_pipeline.stages import gradability
from dr_pipeline.tables.canvas_index import CanvasRow, write_canvas_index
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from dr_pipeline.tables.splits import SplitRow, write_splits
from tests.factories import REPOSITORY


@pytest.mark.parametrize("missing", ["index", "audited"])
def test_a_split_of_other_photographs_is_refused(missing: str, tmp_path: Path) -> None:
    names = {"index": "ab", "audited": "ab"} | {missing: "a"}
    write_canvas_index(
        tmp_path / "index.csv", [CanvasRow(image_id=n, status=Status.SCORED, quality=0.9) for n in names["index"]]
    )
    write_manifest(tmp_path / "audited.csv", [ManifestRow(image_id=name, path=name) for name in names["audited"]])
    write_splits(
        tmp_path / "splits.csv",
        [SplitRow(image_id=name, group=name, grade=0, split="development", fold=0) for name in "ab"],
    )
    args = argparse.Namespace(
        params=tmp_path / "params.yaml",
        index=tmp_path / "index.csv",
        audited=tmp_path / "audited.csv",
        splits=tmp_path / "splits.csv",
        thresholds=tmp_path / "t.json",
        out=tmp_path / "o.csv",
        report=tmp_path / "r.json",
    )
    args.params.write_text((REPOSITORY / "params.yaml").read_text())
    with pytest.raises(DataError, match="1 photographs of the split are not in both other tables, such as 'b'"):
        gradability.run(args)
    assert not args.thresholds.exists()
