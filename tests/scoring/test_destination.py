"""Tables on an object store: a server that speaks S3, with addresses and credentials that are right and wrong."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
import s3fs
from moto.server import ThreadedMotoServer

from dr_pipeline import cli
from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.scoring.destination import Destination
from dr_pipeline.scoring.outputs import lesion_paths
from tests.factories.bundles import photograph
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG"  # those of the documentation of S3


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A bucket, and the environment in which a user reaches it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
    s3fs.S3FileSystem.clear_instance_cache()  # of another test's environment
    made = boto3.resource("s3", endpoint_url=server).Bucket(f"clinic-{tmp_path.name.replace('_', '-')}")
    made.create()
    return made


def names(bucket: Any) -> list[str]:
    return sorted(item.key for item in bucket.objects.all())


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    folder = tmp_path / "clinic"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    return folder


def test_photographs_and_table_on_a_store_are_as_in_a_folder(bucket, bundle, clinic, tmp_path) -> None:
    for path in clinic.iterdir():
        bucket.upload_file(path, f"2026/{path.name}")
    source, out = f"s3://{bucket.name}/2026", f"s3://{bucket.name}/runs/table.csv"
    arguments = ["--bundle", str(bundle), "--out", out, "--work-dir", str(tmp_path / "work"), "--workers", "1"]
    # A program of its own: the server of worker processes in this one may be older than the bucket's environment.
    command = [sys.executable, "-m", "dr_pipeline", "score", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert f"wrote {out}\n" in done.stdout
    assert [name for name in names(bucket) if name.startswith("runs")] == [
        "runs/table.csv",
        "runs/table.csv.manifest.json",
    ]
    bucket.download_file("runs/table.csv", tmp_path / "downloaded.csv")
    score_in_process(clinic, bundle, tmp_path / "local.csv")
    assert (tmp_path / "downloaded.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()


def test_shards_on_a_store_merge_to_the_table_of_one_run(bucket, bundle, clinic, tmp_path) -> None:
    shards = []
    for index in range(2):
        shards.append(f"s3://{bucket.name}/shards/{index}.csv")
        arguments = ["--num-shards", "2", "--shard-index", str(index), "--workers", "1", "--bundle", str(bundle)]
        work = ["--out", shards[-1], "--work-dir", str(tmp_path / f"work {index}")]
        assert cli.main(["score", str(clinic), *arguments, *work]) == 0
    assert "shards/1.csv.journal" in names(bucket)
    assert cli.main(["merge", str(tmp_path / "merged.csv"), *shards]) == 0
    score_in_process(clinic, bundle, tmp_path / "local.csv")
    assert sha256_file(tmp_path / "merged.csv") == sha256_file(tmp_path / "local.csv")


def test_a_run_whose_upload_failed_uploads_by_resume(bucket, bundle, clinic, tmp_path, monkeypatch) -> None:
    out, work = f"s3://{bucket.name}/table.csv", tmp_path / "work"
    arguments = ["score", str(clinic), "--bundle", str(bundle), "--out", out, "--work-dir", str(work), "--workers", "1"]
    with monkeypatch.context() as broken:
        broken.setattr(Destination, "require_writable", lambda self: bucket.delete())
        assert cli.main(arguments) == 2
    bucket.create()
    scored_ns = (work / "table.csv").stat().st_mtime_ns
    assert cli.main([*arguments, "--resume"]) == 0
    assert names(bucket) == ["table.csv", "table.csv.manifest.json"]
    assert (work / "table.csv").stat().st_mtime_ns == scored_ns


def test_lesions_of_an_earlier_run_on_the_store_are_named(bucket, tmp_path, caplog) -> None:
    destination, table = Destination(tmp_path / "p.csv", f"s3://{bucket.name}/runs/p.csv"), tmp_path / "p.csv"
    table.write_text("a")
    bucket.put_object(Key="runs/p.lesions.csv", Body=b"old")
    assert destination.upload([table], lesion_paths(table)) == (f"s3://{bucket.name}/runs/p.csv",)
    said = f"s3://{bucket.name}/runs/p.lesions.csv stays on the store, but is not of this run"
    assert [record.message for record in caplog.records if "stays" in record.message] == [said]
    assert Destination(table).upload([table], lesion_paths(table)) == (table,)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "the store does not answer"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials for the store were found"),
        ({}, "there is no such bucket"),
    ],
)
def test_what_a_store_refuses_is_refused_before_the_work(
    environment, sentence, bucket, bundle, clinic, tmp_path, monkeypatch, capsys
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    arguments = ["--bundle", str(bundle), "--work-dir", str(tmp_path / "work")]
    assert cli.main(["score", str(clinic), *arguments, "--out", "s3://another-bucket/table.csv"]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert "Traceback" not in printed
    assert SECRET not in printed
    assert not (tmp_path / "work").exists()


def test_wrong_credentials_are_one_sentence_without_the_key(server, bucket) -> None:
    requests.post(f"{server}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on the server checks keys
    try:
        with pytest.raises(DataError, match="refuses these credentials") as caught:
            Destination.of(f"s3://{bucket.name}/table.csv", Path("work")).require_writable()
    finally:
        requests.post(f"{server}/moto-api/reset-auth", data=b"inf", timeout=10)
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)


def test_an_address_needs_a_folder_to_work_in_and_a_name() -> None:
    with pytest.raises(DataError, match="needs a folder") as caught:
        Destination.of("s3://bucket/table.csv", None)
    assert "--work-dir" in caught.value.todo
    with pytest.raises(DataError, match="names no table"):
        Destination.of("s3://bucket/folder/", Path("work"))


def test_a_kind_of_store_whose_package_is_missing_names_it() -> None:
    with pytest.raises(DataError, match="not installed"):
        Destination.of("gs://bucket/table.csv", Path("work")).require_writable()
