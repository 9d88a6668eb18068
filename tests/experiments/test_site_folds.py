"""Sites as outer folds: a held-out site is not seen in training, nor are its people and copies."""

from typing import Any

import pytest

from dr_pipeline.cli import EXIT_USER_ERROR, main
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.experiments.arm_table import site_rows
from dr_pipeline.experiments.definition import read_experiment
from dr_pipeline.experiments.mlflow_view import arm_facts
from dr_pipeline.experiments.nested_folds import NestedFold, Protocol, site_folds, with_test_only
from dr_pipeline.experiments.out_of_fold import pool_folds
from dr_pipeline.experiments.site_lines import site_lines
from dr_pipeline.experiments.summary import ArmResult, summarise
from dr_pipeline.schema import Role
from dr_pipeline.splitting.groups import Group, Photograph, group_photographs
from dr_pipeline.tables.splits import SplitRow
from tests.factories.experiments import EVALUATION, MACHINE, WANTED, made_results, settings_of

OUT: Protocol = "leave_one_site_out"
REST: Protocol = "one_site_to_rest"


def site(name: str, count: int = 60, role: Role = Role.ALL) -> list[Photograph]:
    return [Photograph(f"{name}__{n:03}", f"{name}__P{n // 2}", "", n % 5, site=name, role=role) for n in range(count)]


def groups(*photographs: list[Photograph]) -> list[Group]:
    return group_photographs([one for several in photographs for one in several])


def sites(rows: tuple[SplitRow, ...]) -> set[str]:
    return {row.site for row in rows}


def test_each_site_is_held_out_once_or_trained_on_once() -> None:
    three = groups(site("a"), site("b"), site("c/north", 40))
    out, rest = site_folds(three, OUT, "s"), site_folds(three, REST, "s")
    assert [fold.site for fold in out] == [fold.site for fold in rest] == ["a", "b", "c/north"]
    for fold in out:
        assert sites(fold.outer) == {fold.site}
        assert fold.site not in sites(fold.training) | sites(fold.validation)
        assert sites(fold.training) == sites(fold.validation)
        assert len(fold.outer) + len(fold.training) + len(fold.validation) == 160
    for fold in rest:
        assert sites(fold.training) == sites(fold.validation) == {fold.site}
        assert fold.site not in sites(fold.outer)
    assert [fold.digest for fold in site_folds(three[::-1], OUT, "s")] == [fold.digest for fold in out]


@pytest.mark.parametrize("protocol", [OUT, REST])
def test_a_copy_of_a_held_out_photograph_trains_nothing(protocol: Protocol, caplog: pytest.LogCaptureFixture) -> None:
    copies = [Photograph(f"{name}__copy", "", "k", 2, site=name) for name in "ab"]
    for fold in site_folds(groups(site("a"), site("b"), copies), protocol, "s"):
        seen = {row.image_id for row in (*fold.training, *fold.validation)}
        assert not seen & {"a__copy", "b__copy"}
        assert len({row.image_id for row in fold.outer} & {"a__copy", "b__copy"}) == 1


def test_roles_are_kept() -> None:
    mixed = groups(
        site("a"), site("b"), site("t", 30, Role.TEST), site("d", 30, Role.TRAIN), site("v", 30, Role.VALIDATION)
    )
    out = site_folds(mixed, OUT, "s")
    assert [fold.site for fold in out] == ["a", "b", "t"]
    assert all(sites(fold.training) >= {"d"} and "v" not in sites(fold.training) for fold in out)
    assert all("v" in sites(fold.validation) and not {"t"} & sites(fold.training) for fold in out)
    assert [fold.site for fold in site_folds(mixed, REST, "s")] == ["a", "b", "d"]


def test_sites_for_test_only_are_never_trained_on() -> None:
    photographs = [*site("a"), *site("b"), *site("t/1", 30)]
    out = site_folds(group_photographs(with_test_only(photographs, ["t"])), OUT, "s")
    assert [fold.site for fold in out] == ["a", "b", "t/1"]
    assert not any("t/1" in sites(fold.training) | sites(fold.validation) for fold in out)
    rest = site_folds(group_photographs(with_test_only(photographs, ["t"])), REST, "s")
    assert [(fold.site, sites(fold.outer)) for fold in rest] == [("a", {"b", "t/1"}), ("b", {"a", "t/1"})]
    with pytest.raises(ParamsError, match="there is no site 'u'"):
        with_test_only(photographs, ["u"])


def test_what_cannot_be_held_out_is_refused() -> None:
    with pytest.raises(ParamsError, match="two sites are needed"):
        site_folds(groups(site("a")), OUT, "s")
    with pytest.raises(ParamsError, match="may be held out"):
        site_folds(groups(site("a", role=Role.TRAIN), site("b", role=Role.TRAIN)), OUT, "s")
    with pytest.raises(DataError, match="of unknown sites: x"):
        site_folds(groups(site("a"), site("b"), [Photograph("x", "", "", 1)]), OUT, "s")
    with pytest.raises(DataError, match="'b'"):
        site_folds(groups(site("a"), site("b", 2)), REST, "s")
    assert main(["experiment", "leave_one_site_out", "--candidate", "lite0", "--folds", "3"]) == EXIT_USER_ERROR


def report_of(protocol: Protocol) -> dict[str, Any]:
    folds: list[NestedFold] = site_folds(groups(site("a"), site("b"), site("c", 40)), protocol, "s")
    experiment = read_experiment(protocol)
    (settings,) = settings_of(experiment)
    results = made_results(folds, 0.5)
    facts = tuple(
        {**one.facts, "training_photographs": len(fold.training), "validation_photographs": len(fold.validation)}
        for fold, one in zip(folds, results, strict=True)
    )
    arm = ArmResult(settings, {}, pool_folds(folds, results, WANTED, seed=1), facts)
    return summarise(
        protocol,
        experiment,
        [arm],
        EVALUATION,
        candidate="lite0",
        num_folds=3,
        configurations_opened=1,
        machine=MACHINE,
    )


@pytest.mark.parametrize("protocol", [OUT, REST])
def test_the_report_has_the_figures_of_each_site_and_their_mean(protocol: Protocol) -> None:
    report = report_of(protocol)
    (arm,) = report["arms"]
    assert [one["site"] for one in arm["by_site"]] == ["a", "b", "c"]
    for one in arm["by_site"]:
        assert one["n"] == sum(one["by_grade"].values())
        for name in ("qwk", "referable_auc", "macro_auc", "macro_auc_one_vs_one", "macro_f1", "accuracy"):
            assert one[name]["low"] <= one[name]["value"] <= one[name]["high"]
            assert one[name]["n"] == one["n"]
    values = [one["macro_auc"]["value"] for one in arm["by_site"]]
    assert arm["mean_of_sites"]["macro_auc"] == {"value": pytest.approx(sum(values) / 3), "sites": 3, "of": 3}
    if protocol == REST:
        assert [target["site"] for target in arm["by_site"][0]["held_out"]] == ["b", "c"]
        assert [one["n"] for one in arm["by_site"]] == [100, 100, 120]
    else:
        assert "held_out" not in arm["by_site"][0]
    lines = list(site_lines(report))
    assert len(lines) == 4
    assert lines[0].startswith(f"\n  as_is, {'held out' if protocol == OUT else 'trained on'} a: QWK 0.")


def test_table_and_tracked_run_have_the_figures_of_each_site() -> None:
    report = report_of(OUT)
    (arm,) = report["arms"]
    rows = site_rows(report)
    assert [(row.arm, row.protocol, row.site) for row in rows] == [("as_is", OUT, site) for site in ("a", "b", "c")]
    assert [row.macro_f1_low for row in rows] == [site["macro_f1"]["low"] for site in arm["by_site"]]
    arm["throughput"] = {"training_images_per_s": 1.0}
    tracked = {measure.name: measure.value for measure in arm_facts(arm).metrics}
    assert tracked["experiment/site/b/qwk"] == arm["by_site"][1]["qwk"]["value"]
