"""Objects of a store that speaks S3, and what its refusals say; local files need no fsspec."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from dr_pipeline.errors import DataError, EnvironmentProblem, ImageError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.scoring.sources import objects
from dr_pipeline.scoring.sources.listing import list_entries
from dr_pipeline.scoring.sources.objects import without_secrets
from dr_pipeline.scoring.sources.read import read_entry

pytestmark = pytest.mark.slow

KEY_ID, SECRET = "AKIAEXAMPLE", "s3cr3tv4lu3"
KEYS = ("2024/a.jpg", "2024/b/c.jpg", "2024/é 😀.jpg", "2024/a::b.jpg", "2024/q?x.jpg", "2024/h#x.jpg", "2024/%41.jpg")
ODD_KEYS = ("2024/../up.jpg", "2024/__MACOSX/x.jpg", "2024/empty.jpg", "2024/folder/", "2024/b//d.jpg", "top.jpg")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a server with a bucket `clinic` is reached."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def store(address: str) -> Iterator[s3fs.S3FileSystem]:
    environment = {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        store = s3fs.S3FileSystem(use_listings_cache=False)
        store.mkdir("clinic")
        for key in (*KEYS, *ODD_KEYS):
            body = b"" if key.endswith(("/", "empty.jpg")) else key.encode()
            store.call_s3("put_object", Bucket="clinic", Key=key, Body=body)
        yield store
        s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def credentials_checked(address: str) -> Iterator[None]:
    """The server looks at credentials, and refuses these."""
    require_credentials(address, b"0")
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    require_credentials(address, b"inf")
    s3fs.S3FileSystem.clear_instance_cache()


def require_credentials(address: str, after_requests: bytes) -> None:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.request("POST", "/moto-api/reset-auth", after_requests, {"Content-Type": "text/plain"})
    assert connection.getresponse().status == 200
    connection.close()


def test_every_object_is_listed_and_read(store: s3fs.S3FileSystem) -> None:
    for source in ("s3://clinic/2024", "s3://clinic/2024/"):
        entries = {entry.relative: entry for entry in list_entries([source])}
        for key in (*KEYS, "2024/../up.jpg"):
            assert read_entry(entries.pop(key.removeprefix("2024/"))) == key.encode()
        assert entries.pop("__MACOSX/x.jpg").left_out == "system files"
        assert read_entry(entries.pop("empty.jpg")) == b""
        assert entries.pop("b/").problem == "objects below a folder without a name are not read"
        assert not entries
    (one,) = list_entries(["s3://clinic/top.jpg"])
    assert (one.relative, read_entry(one)) == ("top.jpg", b"top.jpg")
    ignored = list_entries(["s3://clinic"], rules=FolderRules(ignore=("2024",)))
    assert [entry.relative for entry in ignored if not entry.left_out] == ["top.jpg"]


def test_a_list_and_several_sources_may_name_objects(store: s3fs.S3FileSystem, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"here")
    (tmp_path / "list.txt").write_text("s3://clinic/top.jpg\na.jpg\ns3://clinic/gone.jpg\n")
    entries = {entry.relative: entry for entry in list_entries([f"@{tmp_path / 'list.txt'}", "s3://clinic/2024/b"])}
    assert read_entry(entries["list.txt/s3://clinic/top.jpg"]) == b"top.jpg"
    assert read_entry(entries["list.txt/a.jpg"]) == b"here"
    assert read_entry(entries["b/c.jpg"]) == b"2024/b/c.jpg"
    with pytest.raises(ImageError, match="the object is missing"):
        read_entry(entries["list.txt/s3://clinic/gone.jpg"])


def test_what_is_too_large_or_gone_is_not_read(store: s3fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = list_entries(["s3://clinic/top.jpg"])
    monkeypatch.setattr(objects, "MAX_FILE_BYTES", 3)
    with pytest.raises(ImageError, match="too large for a photograph"):
        read_entry(entry)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s3://nobucket/x", "no such bucket, folder or object"),
        ("s3://clinic/gone", "no such bucket, folder or object"),
        ("s3://clinic/2024.zip", "archives in an object store are not opened"),
        ("zip::s3://clinic/2024.zip", "no such folder or file"),
        ("simplecache::s3://clinic/2024", "no such folder or file"),
        ("nostore://x", "no kind of store is called nostore"),
        ("gs://bucket/x", "need a library that is not installed"),
    ],
)
def test_an_address_that_cannot_be_read_is_a_sentence(store: s3fs.S3FileSystem, source: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        list_entries([source])


def test_wrong_and_missing_credentials_are_a_sentence_without_secrets(
    store: s3fs.S3FileSystem, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = next(entry for entry in list_entries(["s3://clinic/2024"]) if entry.relative == "a.jpg")
    with credentials_checked(address), monkeypatch.context() as patch:
        with pytest.raises(DataError) as refused:
            list_entries(["s3://clinic/2024"])
        with pytest.raises(EnvironmentProblem) as unread:
            read_entry(entry)
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(DataError) as missing:
            list_entries(["s3://clinic/2024"])
    assert refused.value.what == "cannot be listed: the store refuses these credentials"
    assert unread.value.what == "the photographs cannot be read any more: the store refuses these credentials"
    assert missing.value.what == "cannot be listed: no credentials for the store were found"
    for error in (refused, unread, missing):
        assert KEY_ID not in str(error.value)
        assert SECRET not in str(error.value)
        assert error.value.__cause__ is None


class DeniedError(PermissionError):
    """What s3fs raises for one object that these credentials may not read."""


def test_one_object_that_is_refused_is_a_row_and_a_whole_store_ends_the_run(
    store: s3fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = next(entry for entry in list_entries(["s3://clinic/2024"]) if entry.relative == "a.jpg")

    def refuse(*_arguments: object, **_named: object) -> None:
        raise DeniedError("Access Denied")

    monkeypatch.setattr(s3fs.S3FileSystem, "open", refuse)
    with pytest.raises(ImageError, match="the store refuses these credentials"):
        read_entry(entry)
    system, _ = objects.open_store("s3://clinic/2024")
    monkeypatch.setattr(system, "info", refuse)
    with pytest.raises(EnvironmentProblem, match="cannot be read any more") as lost:
        read_entry(entry)
    assert "--resume" in lost.value.todo


def test_user_password_and_signature_of_an_address_are_not_shown() -> None:
    assert without_secrets("https://me:pw@host/a.jpg?X-Amz-Signature=1") == "https://host/a.jpg"
    assert without_secrets("s3://bucket/a@b.jpg") == "s3://bucket/a@b.jpg"
    assert without_secrets("/local/a?b@c.jpg") == "/local/a?b@c.jpg"


def test_other_stores_of_fsspec_are_read_too(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/clinic/a.jpg": b"1", "/clinic/in/b.jpg": b"2"})
    (tmp_path / "a.jpg").write_bytes(b"3")
    entries = list_entries(["memory://clinic", f"file://{tmp_path}"])
    assert [read_entry(entry) for entry in entries] == [b"1", b"2", b"3"]


def test_local_files_are_listed_and_read_without_fsspec(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    program = (
        "import sys\n"
        "from dr_pipeline.scoring.sources.listing import list_entries\n"
        "from dr_pipeline.scoring.sources.read import read_entry\n"
        f"assert [read_entry(entry) for entry in list_entries([{str(tmp_path)!r}])] == [b'1']\n"
        "assert not {'fsspec', 'ssl', 'botocore'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
