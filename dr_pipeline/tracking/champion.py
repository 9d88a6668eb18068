"""Which version of `dr-grader` is the champion: a new one must pass its comparison with the present one, or be forced.

The comparison is that of `dr-pipeline compare`. Every change of the champion is a tag `champion.<time>` of the
registered model, which is never overwritten. One change is made at a time (promotion_lock.py).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError, DrPipelineError, EnvironmentProblem, GateError
from dr_pipeline.evaluation.comparison import Verdict, declared_margins
from dr_pipeline.evaluation.comparison_report import Comparison, compare_pair, read_comparison
from dr_pipeline.evaluation.image_metrics import resampling
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.tracking.evidence import pair_evidence
from dr_pipeline.tracking.promotion_lock import promotion_lock
from dr_pipeline.tracking.registry import CHALLENGER, CHAMPION, MODEL_NAME, place_of
from dr_pipeline.tracking.store import Store
from dr_pipeline.tracking.versions import answering, find_version, require_whole, version_by_alias

PREVIOUS = "previous"


@dataclass(frozen=True)
class Change:
    """A change of the champion.

    Attributes:
        champion: Version number of the champion now.
        bundle_id: Its bundle.
        previous: Version number of the champion before; "" where there was none, or where nothing changed.
        lines: The figures, and why it was forced.
    """

    champion: str
    bundle_id: str
    previous: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """What a new champion must show.

    Attributes:
        margins: As declared: how much worse an endpoint of `compare` may be; see `declared_margins`.
        params: Confidence, bootstrap replicates and their seed.
        part: The photographs that both versions graded: `test`, or `validation`.
        comparison: comparison.json of the champion and the version, which counts instead of `part`; None: `part`.
        force: The reason for which the version becomes champion whatever the comparison gives; empty: it counts.
        show: Called with the comparison before it is decided by.
    """

    margins: Mapping[str, float | None]
    params: Evaluation
    part: str = "test"
    comparison: Path | None = None
    force: str = ""
    show: Callable[[Comparison], None] = lambda _comparison: None


def promote(store: Store, wanted: str, rule: Rule, *, break_lock: bool = False) -> Change:
    """Makes a version the champion, if it keeps the margins against the present one; that one becomes `previous`.

    Args:
        store: The registry.
        wanted: A version number, an alias such as `challenger`, or the path of a registered bundle.
        rule: What it must show.
        break_lock: Whether to remove a lock that another promotion has left.

    Raises:
        GateError: It does not keep the margins, or was graded on another split than the champion.
        DataError: There is no such version, or it or the champion has no graded photographs.
        BundleError: The bundle in the registry is damaged.
        EnvironmentProblem: The store refuses, or somebody else changes the champion.
        ParamsError: A margin is none.
    """
    declared_margins(rule.margins)
    with _alone(store, break_lock) as require_unchanged:
        version, champion = find_version(store.client, wanted), version_by_alias(store.client, CHAMPION)
        bundle_id = str(version.tags.get("bundle_id"))
        if champion is not None and champion.version == version.version:
            return Change(str(version.version), bundle_id, "", ("it is the champion already; nothing was changed",))
        require_whole(store, version)
        lines = [] if champion is None else _compared(store, version, champion, rule)
        require_unchanged(champion)
        if rule.force:
            store.client.set_model_version_tag(MODEL_NAME, version.version, "promotion.forced", rule.force)
        if (challenger := version_by_alias(store.client, CHALLENGER)) and challenger.version == version.version:
            store.client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)
        return _move(store, version, champion, ("promoted", *lines))


def rollback(store: Store, *, reason: str = "", break_lock: bool = False) -> Change:
    """Makes the previous champion the champion again; the two change places, so that another rollback undoes it.

    Raises:
        DataError: There is no previous champion.
        BundleError: Its bundle in the registry is damaged.
        EnvironmentProblem: The store refuses, or somebody else changes the champion.
    """
    with _alone(store, break_lock) as require_unchanged:
        champion, previous = version_by_alias(store.client, CHAMPION), version_by_alias(store.client, PREVIOUS)
        if champion is None or previous is None or champion.version == previous.version:
            raise DataError(
                "there is no previous champion to go back to",
                where=place_of(store),
                todo="promote a version by its number: dr-pipeline promote VERSION",
            )
        require_whole(store, previous)
        require_unchanged(champion)
        return _move(store, previous, champion, ("rolled back", *([f"reason: {reason}"] if reason else [])))


def _compared(store: Store, version: Any, champion: Any, rule: Rule) -> list[str]:
    """The figures, and what was forced; raises what `promote` does, unless the version is forced."""
    try:
        comparison = _compare(store.client, version, champion, rule)
    except DrPipelineError as error:
        if not rule.force:
            raise
        return [f"not compared: {error.what}", f"forced: {rule.force}"]
    rule.show(comparison)
    on = f"by {rule.comparison.name}" if rule.comparison else f"on the {rule.part} split"
    if comparison.passed or rule.force:
        store.client.log_dict(version.run_id, comparison.report, f"promotion/{version.version}/comparison.json")
        return [on, *comparison.lines(), *([f"forced: {rule.force}"] if rule.force else [])]
    refused = f"version {version.version} does not replace the champion, version {champion.version}: "
    not_shown = comparison.report["verdict"] == Verdict.NOT_SHOWN
    raise GateError(
        "\n  ".join([refused + ", ".join(comparison.failures), on, *comparison.lines()]),
        where=place_of(store),
        todo=("compare on more photographs (--on, --comparison)" if not_shown else "train a better one")
        + ", declare other margins before you look (params.yaml, `promotion`), or promote it with --force REASON",
    )


def _compare(client: Any, version: Any, champion: Any, rule: Rule) -> Comparison:
    margins = declared_margins(rule.margins)
    old, new = (str(each.tags.get("bundle_id")) for each in (champion, version))
    if rule.comparison:
        return read_comparison(rule.comparison, margins, old=old, new=new)
    pair = pair_evidence(client, version, champion, rule.part)
    named = [{"name": f"version {each.version}", "id": bundle} for each, bundle in ((champion, old), (version, new))]
    return compare_pair(pair, margins, resampling(rule.params), old=named[0], new=named[1])


def _move(store: Store, version: Any, champion: Any | None, lines: tuple[str, ...]) -> Change:
    """Moves the aliases, `previous` first: whatever ends this halfway, there is a champion.

    Raises:
        EnvironmentProblem: Somebody has moved `champion` at the same time.
    """
    client, previous = store.client, "" if champion is None else str(champion.version)
    if champion is not None:
        client.set_registered_model_alias(MODEL_NAME, PREVIOUS, champion.version)
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, version.version)
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = "; ".join([f"version {version.version} after {previous or 'none'}", *lines])
    client.set_registered_model_tag(MODEL_NAME, f"champion.{time}", text)
    client.set_model_version_tag(MODEL_NAME, version.version, "promotion", text)
    _require_champion(store, version, "this change is in the tags, and was overwritten")
    return Change(str(version.version), str(version.tags.get("bundle_id")), previous, lines[1:])


def _require_champion(store: Store, expected: Any | None, then: str) -> None:
    """Checks the alias against what this process knows; MLflow has no request that compares and moves it."""
    found = version_by_alias(store.client, CHAMPION)
    numbers = ["none" if version is None else str(version.version) for version in (found, expected)]
    if numbers[0] != numbers[1]:
        raise EnvironmentProblem(
            f"somebody changes the champion by other means than dr-pipeline: it is version {numbers[0]}, "
            f"not {numbers[1]}; {then}",
            where=place_of(store),
            todo="see who does, then run it again",
        )


@contextmanager
def _alone(store: Store, break_lock: bool) -> Iterator[Callable[[Any | None], None]]:
    """No other promotion or rollback runs in the block; yields a check of it, and of the champion so far."""
    where = place_of(store)
    with answering(store), promotion_lock(store.client, where=where, break_other=break_lock) as require_held:

        def require_unchanged(champion: Any | None) -> None:
            require_held()
            _require_champion(store, champion, "nothing was changed")

        yield require_unchanged
