"""What the scorer feeds the network is what training fed it, byte for byte."""

from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.canvases.build import build_store
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.files import sha256_file
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tables.manifest import ManifestRow
from tests.factories.bundles import make_bundle, photograph
from tests.factories.canvases import IN_PROCESS


def require_identical(photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer.from_bundle(make_bundle(tmp_path / "bundle"), threads=1)
    fed: list[np.ndarray] = []
    plain = Scorer.logits
    monkeypatch.setattr(Scorer, "logits", lambda self, inputs: fed.append(inputs) or plain(self, inputs))
    manifest = [
        ManifestRow(image_id=f"p{number}", path=path.name, sha256=sha256_file(path))
        for number, path in enumerate(photographs)
    ]
    build_store(
        manifest, photographs[0].parent, tmp_path / "store", scorer.pixel_path, num_shards=2, engines=IN_PROCESS
    )
    store = CanvasStore(tmp_path / "store")
    for number, path in enumerate(photographs):
        score = scorer.score(path.read_bytes())
        from_shard = model_input(store.read(f"p{number}"), scorer.input_px)
        assert fed[-1].tobytes() == from_shard.tobytes(), path.name
        assert score.pixel_hash == store.rows[f"p{number}"].pixel_hash
    assert len(fed) == len(photographs)


def test_drawn_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(photograph(seed))
    require_identical(sorted(folder.iterdir()), tmp_path, monkeypatch)


def test_fifty_real_photographs(idrid_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_identical(sorted(idrid_dir.rglob("*.jpg"))[:50], tmp_path, monkeypatch)
