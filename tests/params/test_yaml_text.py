"""Editing params.yaml: the values are set, comments and layout stay."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.params.yaml_text import on_one_line, with_values
from dr_pipeline.recipes import NAMES
from dr_pipeline.recipes.compose import recipe_text

CANDIDATES: dict[str, dict[str, Any]] = {
    "new": {"model": "m", "learning_rate": 5e-05, "network": {"channels": ["red"]}}
}
VALUES = {"training.ema_decay": 0.9971, "split.num_folds": 3, "training.augmentation.brightness": 0.2, "folds": [0, 2]}


def proposed(text: str, values: dict[str, Any]) -> dict[str, Any]:
    document = yaml.safe_load(text)
    for key, value in values.items():
        *path, last = key.split(".")
        section = document
        for name in path:
            section = section[name]
        section[last] = value
    return document | {"candidates": CANDIDATES}


@pytest.mark.parametrize("name", NAMES)
def test_recipes_keep_every_other_line(name: str) -> None:
    text = recipe_text(name)
    document = proposed(text, VALUES)
    result = with_values(text, VALUES, CANDIDATES)
    assert yaml.safe_load(result) == document
    outside = text[: text.index("\ncandidates:")].splitlines() + text[text.index("\nfolds:") + 1 :].splitlines()
    changed = [line for line in outside if line not in result.splitlines()]
    assert len(changed) <= len(VALUES)
    assert sum("#" in line for line in result.splitlines()) >= sum("#" in line for line in outside)


def test_a_comment_stays_in_its_column() -> None:
    text = "a:\n  b: 1        # why\ncandidates: {}\n"
    assert with_values(text, {"a.b": 22}, {}).splitlines()[1] == "  b: 22       # why"


@pytest.mark.parametrize(
    "text",
    [
        "split: {num_folds: 5}\ncandidates:\n  x: {model: a}\n",
        "split:\n  num_folds:\n    5\ncandidates: {x: {model: a}}\n",
        "split: # of patients\n  num_folds: 5\ncandidates:\n\n  x:\n    model: a\n# the end\n",
    ],
)
def test_any_layout_gives_the_right_values(text: str) -> None:
    values = {"split.num_folds": 3}
    document = proposed(text, values)
    assert yaml.safe_load(with_values(text, values, CANDIDATES)) == document


@given(
    st.recursive(
        st.booleans()
        | st.integers()
        | st.floats(1e-9, 1e6).map(lambda number: round(number, 9))
        | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12)
        | st.sampled_from(["yes", "no", "null", "1e5", "0.5", "bundle:data/a#b"]),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    )
)
def test_every_value_is_read_back_as_it_was(value: Any) -> None:
    assert yaml.safe_load(f"key: {on_one_line(value)}") == {"key": value}
