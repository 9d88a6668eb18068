"""Two people promote at once: one goes first, and the other learns of it before anything is changed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest

from dr_pipeline.errors import DrPipelineError, EnvironmentProblem
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.tracking import champion
from dr_pipeline.tracking.champion import PREVIOUS, Rule, promote, rollback
from dr_pipeline.tracking.promotion_lock import LOCK_NAME, promotion_lock
from dr_pipeline.tracking.registry import CHAMPION, MODEL_NAME
from dr_pipeline.tracking.store import Store
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow

RULE = Rule({}, Evaluation(bootstrap_replicates=100, bootstrap_seed=1, confidence=0.95, two_eye_fusion=False))
FORCED = Rule({}, RULE.params, force="a race")


@pytest.fixture
def store(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Five versions without files; what promotes them does not load them."""
    monkeypatch.setattr(champion, "require_whole", lambda _store, _version: None)
    store = Store(repository.root)
    store.client.create_registered_model(MODEL_NAME)
    for number in range(1, 6):
        store.client.create_model_version(MODEL_NAME, f"s3://nowhere/{number}", tags={"bundle_id": f"bundle{number}"})
    store.client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
    yield store
    assert not locked(store)


def locked(store: Store) -> bool:
    return bool(store.client.search_registered_models(f"name = '{LOCK_NAME}'"))


def aliases(store: Store) -> dict[str, int]:
    found = store.client.get_registered_model(MODEL_NAME).aliases
    return {alias: int(version) for alias, version in found.items()}


def history(store: Store) -> list[tuple[int, int]]:
    """(new champion, the one before) of each change, in the order of time."""
    tags = store.client.get_registered_model(MODEL_NAME).tags
    texts = [tags[name].partition(";")[0].split() for name in sorted(tags) if name.startswith("champion.")]
    return [(int(words[1]), int(words[3])) for words in texts]


def test_who_comes_during_a_promotion_is_refused_and_may_come_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes when the first has compared with version 1 and has not moved the alias yet."""
    comparing, decided = Event(), Event()

    def compare(*_arguments: object) -> list[str]:
        comparing.set()
        assert decided.wait(30)
        return []

    monkeypatch.setattr(champion, "_compared", compare)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(promote, Store(store.root), "2", RULE)
        assert comparing.wait(30)
        for late in (lambda: promote(store, "3", FORCED), lambda: rollback(store)):
            with pytest.raises(EnvironmentProblem, match="another promotion or rollback is under way: held by process"):
                late()
        decided.set()
        assert first.result(30).champion == "2"
    assert aliases(store) == {CHAMPION: 2, PREVIOUS: 1}
    assert promote(store, "3", FORCED).previous == "2"


def test_a_race_of_four_leaves_one_line_of_champions(store: Store) -> None:
    """Without the lock `previous` would be what somebody else had compared with, and the record would not be a line."""
    start, wins = Barrier(4), []

    def take_turns(number: int) -> None:
        mine = Store(store.root)
        start.wait(30)
        for _ in range(4):
            try:
                change = promote(mine, str(number), FORCED)
            except EnvironmentProblem as error:
                assert "under way" in error.what  # noqa: PT017 - the others' errors end the test
                continue
            if change.previous:
                wins.append((int(change.champion), int(change.previous)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take_turns, range(2, 6)))
    changes = history(store)
    assert sorted(changes) == sorted(wins)
    assert len(changes) >= 1
    assert [before for _, before in changes] == [1, *(after for after, _ in changes[:-1])]
    assert aliases(store) == {CHAMPION: changes[-1][0], PREVIOUS: changes[-1][1]}


def test_a_lock_that_a_dead_process_left_is_broken_by_hand_alone(store: Store) -> None:
    store.client.create_registered_model(LOCK_NAME, tags={"holder": "dead"}, description="held by process 1 on a host")
    with pytest.raises(EnvironmentProblem, match="held by process 1 on a host") as refused:
        promote(store, "2", FORCED)
    assert "--break-lock" in str(refused.value)
    assert aliases(store) == {CHAMPION: 1}
    assert promote(store, "2", FORCED, break_lock=True).champion == "2"


def test_whose_lock_was_broken_changes_nothing_and_leaves_the_new_one(store: Store) -> None:
    with (
        promotion_lock(store.client, where="here") as held,
        promotion_lock(store.client, where="here", break_other=True) as held_by_other,
    ):
        held_by_other()
        with pytest.raises(EnvironmentProblem, match="was removed by --break-lock"):
            held()
    assert not locked(store)


def test_an_error_gives_the_lock_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(champion, "_compared", interrupt)
    with pytest.raises(KeyboardInterrupt):
        promote(store, "2", RULE)
    with pytest.raises(DrPipelineError, match="no version or alias"):
        promote(store, "9", RULE)
    assert not locked(store)


@pytest.mark.parametrize("before", [True, False])
def test_an_alias_that_is_moved_by_hand_is_noticed(store: Store, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    """MLflow's page knows no lock: it is seen before, and nothing is changed, or after, and the record says so."""

    def by_hand(*_arguments: object) -> list[str]:
        store.client.set_registered_model_alias(MODEL_NAME, CHAMPION, "5")
        return []

    real = store.client.set_registered_model_tag

    def record_late(*arguments: object) -> None:
        real(*arguments)
        by_hand()

    if before:
        monkeypatch.setattr(champion, "_compared", by_hand)
    else:
        monkeypatch.setattr(store.client, "set_registered_model_tag", record_late)
    with pytest.raises(EnvironmentProblem, match="by other means than dr-pipeline: it is version 5, not") as noticed:
        promote(store, "2", RULE if before else FORCED)
    assert aliases(store)[CHAMPION] == 5
    assert ("nothing was changed" in noticed.value.what) == before
    assert history(store) == ([] if before else [(2, 1)])
