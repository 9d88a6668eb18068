import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_pipeline.clinic.node.admission import Limits, StoreStatus
from dr_pipeline.clinic.node.inbox import Inbox
from dr_pipeline.clinic.node.store import NodeStore
from tests.factories.clinic import clinic_photograph, sop_instance
from tests.factories.dicom import CT_IMAGE, OP_8_BIT, SECRETS

FREE = 100 << 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with NodeStore(tmp_path / "node.sqlite") as opened:
        yield opened


def inbox(tmp_path: Path, store: NodeStore, *, free_bytes: int = FREE, **limits: int) -> Inbox:
    return Inbox(tmp_path / "photographs", store, Limits(**limits), pace=9, free_bytes=lambda _: free_bytes)


def photograph(number: int = 1, **fields: object) -> bytes:
    return clinic_photograph(number, seed=1, side_px=64, **fields)


def offer(box: Inbox, data: bytes, number: int = 1, sop_class: str = OP_8_BIT) -> StoreStatus:
    return box.offer(data, sop_class=sop_class, sop_instance=sop_instance(number), sender="CAMERA").status


def test_a_photograph_is_on_the_disk_as_it_came(tmp_path: Path, store: NodeStore) -> None:
    box = inbox(tmp_path, store)
    assert offer(box, photograph()) is StoreStatus.STORED
    path = tmp_path / "photographs" / f"{sop_instance(1)}.dcm"
    assert path.read_bytes() == photograph()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in store.todo(5)] == [path.name]


def test_the_same_again_is_stored_and_not_scored_again(tmp_path: Path, store: NodeStore) -> None:
    box = inbox(tmp_path, store)
    assert [offer(box, photograph()) for _ in range(3)] == [StoreStatus.STORED] * 3
    assert store.waiting == 1


def test_other_bytes_under_the_same_uid_are_taken_beside(tmp_path: Path, store: NodeStore) -> None:
    box = inbox(tmp_path, store)
    for sex in ("F", "M", "M"):
        assert offer(box, photograph(PatientSex=sex)) is StoreStatus.STORED
    first, second = store.todo(5)
    assert first.sop_instance == second.sop_instance
    assert second.name.startswith(first.name.removesuffix(".dcm"))
    assert len(list((tmp_path / "photographs").iterdir())) == 2


@pytest.mark.parametrize(
    ("limits", "free_bytes"),
    [
        ({"max_waiting": 1}, FREE),
        ({"max_waiting_bytes": 3 * len(photograph()) // 2}, FREE),
        ({"reserve_bytes": 1 << 30}, 1 << 30),
    ],
)
def test_a_full_queue_refuses_and_loses_nothing(tmp_path: Path, store: NodeStore, limits, free_bytes: int) -> None:
    if free_bytes == FREE:
        assert offer(inbox(tmp_path, store), photograph()) is StoreStatus.STORED
    box = inbox(tmp_path, store, free_bytes=free_bytes, **limits)
    before = store.waiting
    assert offer(box, photograph(2), 2) is StoreStatus.OUT_OF_RESOURCES
    assert store.waiting == before
    assert store.refusals()[0].number == 1
    assert offer(inbox(tmp_path, store), photograph(2), 2) is StoreStatus.STORED  # it comes again when there is room


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_disk_that_fills_while_it_writes(tmp_path: Path, store: NodeStore, monkeypatch, step: str) -> None:
    box = inbox(tmp_path, store)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(store, "take", full)
        elif step == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, "replace", full)
        assert offer(box, photograph()) is StoreStatus.OUT_OF_RESOURCES
    assert list((tmp_path / "photographs").iterdir()) == []
    assert store.waiting == 0
    assert offer(box, photograph()) is StoreStatus.STORED


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("the right to mount a small disk: absent")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_real_disk_that_is_full(small_disk: Path) -> None:
    with NodeStore(small_disk / "node.sqlite") as store:
        box = Inbox(small_disk / "photographs", store, Limits(reserve_bytes=0), pace=9)
        data = [clinic_photograph(number, seed=1, side_px=200) for number in range(40)]
        answers = [offer(box, each, number) for number, each in enumerate(data)]
        stored = answers.count(StoreStatus.STORED)
        assert set(answers) == {StoreStatus.STORED, StoreStatus.OUT_OF_RESOURCES}
        assert store.waiting == stored
        names = [each.name for each in store.todo(99)]
        kept = [number for number, answer in enumerate(answers) if answer is StoreStatus.STORED]
        assert [box.path(name).read_bytes() for name in names] == [data[number] for number in kept]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", StoreStatus.CANNOT_UNDERSTAND),
        (photograph()[:300], StoreStatus.CANNOT_UNDERSTAND),
        (photograph(StudyInstanceUID=None), StoreStatus.CANNOT_UNDERSTAND),
        (photograph(2), StoreStatus.DATA_SET_MISMATCH),
    ],
)
def test_what_cannot_be_cited_stays_with_its_sender(tmp_path: Path, store, data: bytes, status: StoreStatus) -> None:
    assert offer(inbox(tmp_path, store), data) is status
    (refusal,) = store.refusals()
    assert (refusal.sender, store.waiting) == ("CAMERA", 0)
    assert not any(secret in refusal.reason for secret in SECRETS)


def test_the_request_and_the_data_set_must_agree(tmp_path: Path, store: NodeStore) -> None:
    assert offer(inbox(tmp_path, store), photograph(), sop_class=CT_IMAGE) is StoreStatus.DATA_SET_MISMATCH


def test_what_a_kill_left_is_removed(tmp_path: Path, store: NodeStore) -> None:
    box = inbox(tmp_path, store)
    offer(box, photograph())
    for name in ("1.2.dcm.part", "1.2.dcm"):  # never answered
        box.path(name).write_bytes(b"x")
    assert box.clean(keep=False) == 2
    assert [path.name for path in (tmp_path / "photographs").iterdir()] == [f"{sop_instance(1)}.dcm"]


SIZES = st.integers(0, 1 << 40)


@given(SIZES, SIZES, SIZES, SIZES)
def test_nothing_is_taken_beyond_a_limit(waiting: int, waiting_bytes: int, free_bytes: int, new_bytes: int) -> None:
    limits = Limits()
    why = limits.why_full(waiting=waiting, waiting_bytes=waiting_bytes, free_bytes=free_bytes, new_bytes=new_bytes)
    fits = (
        waiting + 1 <= limits.max_waiting
        and waiting_bytes + new_bytes <= limits.max_waiting_bytes
        and free_bytes - new_bytes >= limits.reserve_bytes
    )
    assert bool(why) != fits
