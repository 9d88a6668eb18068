"""The documents: generated ones agree with the code, links lead somewhere, paths and verbs that they name exist."""

import re
import runpy
from pathlib import Path

import pytest

from dr_pipeline.cli import COMMANDS
from dr_pipeline.stages import STAGES
from tests.factories import REPOSITORY

DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
_MODULE = re.compile(r"`(?:dr_pipeline/)?((?:[a-z_]+/)+[a-z_]+\.py)`")


def test_generated_references_agree_with_the_code() -> None:
    documents = runpy.run_path(str(REPOSITORY / "docs" / "generate_reference.py"))["documents"]()
    for path, text in documents.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python docs/generate_reference.py"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_files(document: Path) -> None:
    links = _LINK.findall(document.read_text(encoding="utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_modules_and_verbs_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    modules = _MODULE.findall(text)
    assert not [name for name in modules if not any((REPOSITORY / top / name).exists() for top in (".", "dr_pipeline"))]
    verbs = set(re.findall(r"dr-pipeline ([a-z]+)\b", text)) - {"run"}
    assert verbs <= {*STAGES, *COMMANDS}, document.name


def test_the_readme_is_short_and_states_the_intended_use() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "not a medical device" in text.lower()
