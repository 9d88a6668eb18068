"""Dependency hashes, through DVC's templates and folders."""

from pathlib import Path

from dr_pipeline.tracking.dvc_lock import data_hashes
from dr_pipeline.tracking.layout import Item

PARAMS = {"folds": [2, 0], "dataset": {"root": "data/phantom/default"}}
LITE0 = Item("lite0", 2)
DVC_YAML = """
stages:
  export: {deps: ["data/models/${item.candidate}-${folds[0]}", dr_pipeline/stages/export.py]}
  audit: {deps: [data/canvases/index.csv, "${dataset.root}"]}
  select: {deps: [data/exports, {data/splits.csv: {}}]}
"""
LOCK = """
stages:
  a: {outs: [{path: data/models/lite0-2, md5: m2.dir}, {path: data/models/lite0-0, md5: m0.dir}]}
  b: {outs: [{path: data/canvases, md5: c.dir}, {path: data/phantom/default, md5: p.dir}]}
  c: {outs: [{path: data/exports/lite0, md5: e1.dir}, {path: data/exports/b0, md5: e2.dir}]}
  d: {outs: [{path: data/splits.csv, md5: s}]}
"""


def hashes(tmp_path: Path, stage: str, item: Item | None) -> dict[str, str]:
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(LOCK)
    return data_hashes(stage, item, dvc_yaml=tmp_path / "dvc.yaml", lock=tmp_path / "dvc.lock", params=PARAMS)


def test_templates_are_filled_in(tmp_path: Path) -> None:
    assert hashes(tmp_path, "export", LITE0) == {"data/models/lite0-2": "m2.dir"}


def test_a_file_in_an_output_folder_counts_as_the_folder(tmp_path: Path) -> None:
    assert hashes(tmp_path, "audit", None) == {"data/canvases": "c.dir", "data/phantom/default": "p.dir"}


def test_a_folder_of_outputs_counts_as_all_of_them(tmp_path: Path) -> None:
    expected = {"data/exports/b0": "e2.dir", "data/exports/lite0": "e1.dir", "data/splits.csv": "s"}
    assert hashes(tmp_path, "select", None) == expected


def test_without_dvc_there_are_no_hashes(tmp_path: Path) -> None:
    absent = tmp_path / "dvc.yaml", tmp_path / "dvc.lock"
    assert data_hashes("export", LITE0, dvc_yaml=absent[0], lock=absent[1], params=PARAMS) == {}
