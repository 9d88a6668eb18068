"""docs/reference/params.md is what its generator gives, and names every key."""

import importlib.util
from types import ModuleType

import pytest

from dr_pipeline.params.root import Params
from dr_pipeline.params.section import Section, section_of
from tests.factories import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "params.md"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = REPOSITORY / "docs" / "generate_params_reference.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator: ModuleType) -> None:
    assert PAGE.read_text(encoding="utf-8") == generator.reference(), "run: python docs/generate_params_reference.py"


def leaves(model: type[Section], prefix: str = "") -> list[str]:
    keys = []
    for name in model.model_fields:
        inner = section_of(model, name)
        keys += leaves(inner, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return keys


@pytest.mark.parametrize("section", Params.model_fields)
def test_every_key_has_a_row_under_its_section(section: str) -> None:
    model = section_of(Params, section)
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    for key in leaves(model) if model else []:
        # an entry of `sources` has a table of its own
        assert f"| `{key.removeprefix('sources.').partition('.')[0] if key.startswith('sources.') else key}` | " in text
