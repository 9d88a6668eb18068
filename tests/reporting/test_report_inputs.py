"""External validations that the report reads: of the bundle it is about, and of no other."""

from pathlib import Path

import pytest

from dr_pipeline.errors import DataError
from dr_pipeline.files import write_json
from dr_pipeline.reporting.report_inputs import read_external


def test_files_of_the_bundle_are_read_by_their_names(tmp_path: Path) -> None:
    assert read_external(tmp_path / "absent", bundle_id="b") == {}
    (tmp_path / "README.md").write_text("none yet")
    assert read_external(tmp_path, bundle_id="b") == {}
    for name in ("near", "far"):
        write_json(tmp_path / f"{name}.json", {"external": {name: {"bundle_id": "b", "n": 3}}})
    assert list(read_external(tmp_path, bundle_id="b")) == ["far", "near"]


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"external": {"far": {"bundle_id": "old"}}}, "figures of bundle old, not of b"),
        ({"test": {}}, "no entry 'external'"),
    ],
)
def test_another_bundle_s_or_another_file_is_refused(tmp_path: Path, document: dict[str, object], what: str) -> None:
    write_json(tmp_path / "far.json", document)
    with pytest.raises(DataError, match=what) as raised:
        read_external(tmp_path, bundle_id="b")
    assert "far.json" in str(raised.value)
