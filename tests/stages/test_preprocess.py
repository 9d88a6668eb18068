"""The stage preprocess: the store it writes, its headline, and what stops it."""

import argparse
from pathlib import Path

import pytest
import yaml

from dr_pipeline.errors import DataError
from dr_pipeline.stages import preprocess
from dr_pipeline.tables.canvas_index import read_canvas_index
from dr_pipeline.tables.manifest import ManifestRow, write_manifest
from tests.factories import REPOSITORY
from tests.factories.canvases import build, tree, write_photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[Path, list[ManifestRow]]:
    root = tmp_path_factory.mktemp("photographs")
    return root, write_photographs(root)


def stage(photographs, out: Path, rows: list[ManifestRow]) -> argparse.Namespace:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["preprocess"] = {"canvas_px": 96, "num_shards": 4, "enhancement": "none"}
    out.mkdir(exist_ok=True)
    (out / "params.yaml").write_text(yaml.safe_dump(params))
    write_manifest(out / "manifest.csv", rows)
    parser = argparse.ArgumentParser()
    preprocess.add_arguments(parser)
    return parser.parse_args(
        f"--params {out / 'params.yaml'} --root {photographs[0]} --manifest {out / 'manifest.csv'} "
        f"--out {out / 'canvases'} --workers 1".split()
    )


def test_the_stage_writes_the_store_and_reports_it(photographs, tmp_path):
    root, rows = photographs
    build(rows, root, tmp_path / "store")
    outcome = preprocess.run(stage(photographs, tmp_path / "run", photographs[1]))
    assert tree(tmp_path / "run" / "canvases") == tree(tmp_path / "store")
    assert outcome.headline.startswith("9 of 16 photographs gradable")
    assert "6 failed" in outcome.headline
    num_shards = len(list((tmp_path / "store").glob("shard-*.tar")))
    assert outcome.headline.endswith(f"{num_shards} of {num_shards} shards rendered, 0 reused")
    outcome = preprocess.run(stage(photographs, tmp_path / "run", photographs[1]))
    assert outcome.headline.endswith(f"0 of {num_shards} shards rendered, {num_shards} reused")
    assert len(read_canvas_index(tmp_path / "run/canvases/index.csv")) == 16


def test_a_manifest_without_rows_stops_the_stage(photographs, tmp_path):
    with pytest.raises(DataError, match="no photographs"):
        preprocess.run(stage(photographs, tmp_path / "run", []))


def test_a_wrong_root_stops_the_stage(photographs, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        preprocess.run(stage((tmp_path / "nowhere", photographs[1]), tmp_path / "run", photographs[1]))
