"""Reading canvases by image id."""

import pickle

import numpy as np
import pytest

from dr_pipeline.canvases.store import CanvasStore, shard_name
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import read_json, write_json


def test_ids_spread_evenly_over_shards():
    counts = np.unique([shard_name(f"image {k}", 8) for k in range(4000)], return_counts=True)[1]
    assert len(counts) == 8
    assert counts.min() > 420


def test_reading_an_absent_canvas_is_an_error(store, tmp_path):
    with pytest.raises(DataError, match="no canvas of 'nobody'"):
        store.read("nobody")
    with pytest.raises(DataError, match="empty"):
        store.read("empty")
    with pytest.raises(DataError):
        CanvasStore(tmp_path)


def test_a_store_of_another_version_is_refused(store, tmp_path):
    for path in store.root.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_json(tmp_path / "pixel_path.json", read_json(tmp_path / "pixel_path.json") | {"version": 99})
    with pytest.raises(BundleError, match="99"):
        CanvasStore(tmp_path)
    write_json(tmp_path / "pixel_path.json", [])
    with pytest.raises(DataError):
        CanvasStore(tmp_path)


def test_a_store_can_be_pickled(store):
    store.read("patient 1")
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert np.array_equal(copy.read("patient 2"), store.read("patient 2"))
