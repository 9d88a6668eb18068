"""NestedFold folds: everyone is judged once, and never by what has seen a relative or a copy."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.experiments.nested_folds import eligible_photographs, folds_digest, nested_folds
from dr_pipeline.tables.manifest import ManifestRow
from dr_pipeline.tables.splits import SplitRow
from tests.factories.experiments import made_groups


@settings(max_examples=15, deadline=None)
@given(num_folds=st.integers(2, 6), salt=st.text(max_size=4), known=st.booleans())
def test_each_photograph_is_judged_once_and_no_group_straddles(num_folds: int, salt: str, known: bool) -> None:
    groups = made_groups(known=known)
    folds = nested_folds(groups, num_folds, salt)
    judged = [row.image_id for nested in folds for row in nested.outer]
    assert sorted(judged) == sorted(one.image_id for group in groups for one in group.photographs)
    for nested in folds:
        parts = [{row.group for row in part} for part in (nested.training, nested.validation, nested.outer)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(groups)
        clusters = [
            {row.duplicate_cluster for row in part} - {""}
            for part in (nested.training, nested.validation, nested.outer)
        ]
        assert sum(map(len, clusters)) == len(set.union(*clusters))
        rest = len(nested.training) + len(nested.validation)
        assert len(nested.validation) / rest == pytest.approx(0.2, abs=0.1)


def test_the_division_follows_the_salt_and_not_the_order() -> None:
    groups = made_groups()
    one, again = nested_folds(groups, 3, "a"), nested_folds(groups[::-1], 3, "a")
    other = nested_folds(groups, 3, "b")
    assert [nested.digest for nested in one] == [nested.digest for nested in again]
    assert {nested.digest for nested in one}.isdisjoint(nested.digest for nested in other)
    assert folds_digest(one) == folds_digest(again) != folds_digest(other)
    assert folds_digest(one) != folds_digest(nested_folds(groups, 4, "a"))


def test_a_fold_without_a_grade_in_training_is_refused() -> None:
    groups = made_groups(12)
    lonely = [group for group in groups if group.worst_grade < 4] + [g for g in groups if g.worst_grade == 4][:1]
    with pytest.raises(DataError, match="no photograph of grade 4 in its training part"):
        nested_folds(lonely, 2, "a")
    with pytest.raises(DataError, match="5 outer folds for 2 groups"):
        nested_folds(groups[:2], 5, "a")
    with pytest.raises(DataError, match="the validation part of fold 0 is empty"):
        nested_folds(groups[:4], 2, "a")
    alike = [group for group in made_groups(60) if group.worst_grade == 4]
    alike = [replace(group, photographs=tuple(replace(one, grade=4) for one in group.photographs)) for group in alike]
    with pytest.raises(DataError, match="have one grade"):
        nested_folds(alike, 2, "a")
    with pytest.raises(ParamsError, match="--folds"):
        nested_folds(groups, 1, "a")


def test_the_test_part_stays_out_where_a_split_is_given() -> None:
    audited = [
        ManifestRow(image_id=name, path=name, grade=1, excluded=excluded)
        for name, excluded in (("a", False), ("b", False), ("c", True))
    ]
    splits = [
        SplitRow(image_id="a", group="a", grade=1, split="development", fold=0),
        SplitRow(image_id="b", group="b", grade=1, split="test"),
    ]
    assert [one.image_id for one in eligible_photographs(audited, None)] == ["a", "b"]
    assert [one.image_id for one in eligible_photographs(audited, splits)] == ["a"]
    with pytest.raises(DataError, match="no photograph is left"):
        eligible_photographs(audited, splits[1:])
