"""Members of archives are listed and read safely: nothing leaves the archive, nothing expands without limit."""

import gzip
import io
import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from dr_pipeline.errors import DataError, ImageError
from dr_pipeline.folder_rules import FolderRules
from dr_pipeline.scoring.sources import archive
from dr_pipeline.scoring.sources.archive import is_archive
from dr_pipeline.scoring.sources.entry import Entry
from dr_pipeline.scoring.sources.listing import iter_entries, list_entries
from dr_pipeline.scoring.sources.read import read_entry

pytestmark = pytest.mark.slow

FILES = {"a.jpg": b"one", "in/b.jpg": b"two" * 1000, "in/c.jpg": b""}


def make_zip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path


def make(kind: str, path: Path, files: dict[str, bytes]) -> Path:
    return make_zip(path, files) if kind == "zip" else make_tar(path, files, f"w:{kind}")


def problems(path: Path) -> dict[str, str]:
    return {entry.relative: entry.problem for entry in list_entries([str(path)])}


def content(path: Path) -> dict[str, bytes]:
    return {entry.relative: read_entry(entry) for entry in list_entries([str(path)])}


@pytest.mark.parametrize("kind", ["zip", "", "gz", "bz2", "xz"])
def test_every_member_is_read_whatever_the_archives_name(tmp_path: Path, kind: str) -> None:
    path = make(kind, tmp_path / "clinic export", FILES)
    assert is_archive(path)
    assert content(path) == FILES


def test_a_photograph_or_another_compressed_file_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"\xff\xd8\xff and a zip behind it PK\3\4")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"no tar"))
    (tmp_path / "b.gz").write_bytes(b"\x1f\x8b but no gzip")
    for name in ("a.zip", "a.gz", "b.gz"):
        assert not is_archive(tmp_path / name)
        assert [entry.relative for entry in iter_entries([str(tmp_path / name)])] == [name]


@pytest.mark.parametrize("kind", ["zip", ""])
@pytest.mark.parametrize("name", ["../up.jpg", "a/../../up.jpg", "/etc/passwd", "C:/x.jpg", "..\\up.jpg", "c:\\x.jpg"])
def test_a_name_that_leads_out_is_a_row_with_that_reason(tmp_path: Path, kind: str, name: str) -> None:
    (entry,) = list_entries([str(make(kind, tmp_path / "a", {name: b"x"}))])
    assert entry.problem == "its name leads out of the archive"
    with pytest.raises(ImageError, match="leads out"):
        read_entry(entry)


def test_links_devices_and_sparse_files_of_a_tar_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as made:
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE), ("p", b"6")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            made.addfile(info)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
        sparse = tarfile.TarInfo("t")
        sparse.type = tarfile.GNUTYPE_SPARSE
        made.addfile(sparse)
    link, irregular = "a link in an archive, not followed", "not a regular file"
    expected = {"s": link, "h": link, "d": irregular, "p": irregular, "t": "a sparse file in an archive, not read"}
    assert problems(path) == expected


def test_links_and_encrypted_members_of_a_zip_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name, mode in (("link", stat.S_IFLNK), ("pipe", stat.S_IFIFO), ("file", stat.S_IFREG)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            made.writestr(info, b"/etc/passwd")
        made.writestr("secret", b"x")
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\1\2")
    data[start + 8] |= 1  # the flag of encryption in the archive's directory
    path.write_bytes(data)
    assert problems(path) == {
        "file": "",
        "link": "a link in an archive, not followed",
        "pipe": "not a regular file",
        "secret": "encrypted in the archive",
    }


def test_a_member_that_expands_as_no_photograph_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_EXPANSION_FLOOR", 10_000)
    files = {"bomb.jpg": bytes(2_000_000), "noise": os.urandom(100_000)}
    path = make_zip(tmp_path / "a.zip", files)
    assert problems(path) == {"bomb.jpg": "expands more than 100 times, as no photograph does", "noise": ""}


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
def test_an_archive_that_expands_as_no_photographs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archive, "_EXPANSION_FLOOR", 10_000)
    path = make(kind, tmp_path / "bomb", {f"{number}": bytes(200_000) for number in range(30)})
    with pytest.raises(DataError, match="expands more than 100 times"):
        list_entries([str(path)])


def test_a_file_too_large_for_a_photograph_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 100)
    for kind in ("zip", ""):
        path = make(kind, tmp_path / f"a{kind}", {"film": os.urandom(200)})
        assert problems(path) == {"film": "0.0 GB is too large for a photograph"}


def test_members_of_one_name_are_read_each(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as made:
        warnings.simplefilter("ignore")
        for data in (b"1", b"2", b"3"):
            made.writestr("a.jpg", data)
        made.writestr("a.jpg (2)", b"4")
    assert content(path) == {"a.jpg": b"1", "a.jpg (2)": b"2", "a.jpg (3)": b"3", "a.jpg (2) (2)": b"4"}
    tar = make_tar(tmp_path / "a.tar", {"a.jpg": b"1", "./a.jpg": b"2"})
    assert content(tar) == {"a.jpg": b"1", "a.jpg (2)": b"2"}


def test_names_of_any_encoding_and_a_systems_own_files(tmp_path: Path) -> None:
    names = {os.fsdecode(b"caf\xe9.jpg"): b"1", "日本.jpg": b"2", "__MACOSX/._a.jpg": b"3", "x" * 200 + "/y.jpg": b"4"}
    tar = make_tar(tmp_path / "a.tar", names)
    entries = list_entries([str(tar)], rules=FolderRules(ignore=("y.jpg",)))
    left_out = {entry.relative: entry.left_out for entry in entries if entry.left_out}
    assert left_out == {"__MACOSX/._a.jpg": "system files", "x" * 200 + "/y.jpg": "ignored files"}
    assert [read_entry(entry) for entry in entries if not entry.left_out] == [b"1", b"2"]


def damaged_header(data: bytes) -> bytes:
    at = data.index(b"in/b.jpg")
    return data[:at] + b"\xff" * 300 + data[at + 300 :]


@pytest.mark.parametrize(
    "damage",
    [damaged_header, lambda data: data[:1536], lambda data: data[:1700], lambda data: data[:1024]],
    ids=["header", "at a member's head", "in a member", "without the end"],
)
@pytest.mark.parametrize("kind", ["", "gz"])
def test_a_tar_that_ends_early_has_a_row_for_what_is_lost(
    tmp_path: Path, damage: Callable[[bytes], bytes], kind: str
) -> None:
    data = damage(make_tar(tmp_path / "whole", FILES).read_bytes())
    (tmp_path / "a").write_bytes(gzip.compress(data) if kind else data)
    entries = {entry.relative: entry for entry in iter_entries([str(tmp_path / "a")])}
    assert read_entry(entries["a.jpg"]) == b"one"
    assert "what follows is lost" in entries["end of the archive"].problem


def tar_header(name: str, *, kind: bytes = tarfile.REGTYPE, size: bytes = b"") -> bytes:
    """A header whose checksum is right, whatever stands in the field of the size."""
    info = tarfile.TarInfo(name)
    info.type = kind
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[124 : 124 + len(size)] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def extended(record: bytes) -> bytes:
    """A POSIX.1-2001 header that replaces values of the member after it."""
    text = b"%d %s\n" % (len(record) + 4, record)
    return tar_header("pax", kind=tarfile.XHDTYPE, size=b"%011o\0" % len(text)) + text.ljust(512, b"\0")


def binary(size: int) -> bytes:
    """A size in GNU's binary spelling."""
    return (0x80 if size >= 0 else 0xFF).to_bytes() + size.to_bytes(11, signed=True)


@pytest.mark.parametrize(
    "header",
    [
        tar_header("in/b.jpg", size=binary(-512)),
        tar_header("in/b.jpg", size=binary(-1024)),  # would be listed for ever
        tar_header("in/b.jpg", size=binary(2**80)),
        extended(b"size=-1024") + tar_header("in/b.jpg"),
        extended(b"GNU.sparse.size=many") + tar_header("in/b.jpg"),
        extended(b"GNU.sparse.map=a,b") + tar_header("in/b.jpg"),
        tar_header("pax", kind=tarfile.XHDTYPE, size=binary(2**60)),
        tar_header("long", kind=tarfile.GNUTYPE_LONGNAME) * 2000,
        bytes(1024),  # a second archive behind the end of the first
        bytes(512),
    ],
    ids=["back", "in a circle", "huge", "pax back", "sparse", "map", "pax huge", "chain", "two", "one zero"],
)
def test_a_tar_whose_headers_lie_has_a_row_for_what_is_lost(tmp_path: Path, header: bytes) -> None:
    first, rest = tar_header("empty.jpg"), make_tar(tmp_path / "whole", FILES).read_bytes()
    (tmp_path / "a").write_bytes(first + header + rest)
    entries = {entry.relative: entry for entry in iter_entries([str(tmp_path / "a")])}
    assert read_entry(entries["empty.jpg"]) == b""
    assert "what follows is lost" in entries["end of the archive"].problem
    (tmp_path / "a").write_bytes(header + rest)
    with suppress(DataError):  # the first header cannot be read: no archive then
        list_entries([str(tmp_path / "a")])


def test_a_compressed_tar_cut_short_has_a_row_for_what_is_lost(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "whole", {"a.jpg": b"one", "b.jpg": os.urandom(300_000)}, "w:gz").read_bytes()
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    first, second, end = list_entries([str(tmp_path / "a")])
    assert read_entry(first) == b"one"
    with pytest.raises(ImageError, match="ends before the file does"):
        read_entry(second)
    assert "what follows is lost" in end.problem


def test_a_damaged_member_or_archive_is_a_sentence(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.jpg": os.urandom(1000), "b.jpg": b"2"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[200:300] = bytes(100)
    path.write_bytes(data)
    first, second = list_entries([str(path)])
    with pytest.raises(ImageError, match="cannot be read from the archive: Bad CRC-32"):
        read_entry(first)
    assert read_entry(second) == b"2"
    path.write_bytes(data[:-30])
    with pytest.raises(DataError, match="the archive cannot be read: File is not a zip file"):
        list_entries([str(path)])


@pytest.mark.parametrize("kind", ["zip", "", "gz", "bz2", "xz"])
def test_any_damage_is_a_sentence(tmp_path: Path, kind: str) -> None:
    whole = make(kind, tmp_path / "whole", FILES | {"é" * 80 + "/d.jpg": b"four"}).read_bytes()
    rng = np.random.default_rng(len(kind))
    path = tmp_path / "a"
    for trial in range(60):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(len(data), size=rng.integers(1, 6))] = rng.integers(256, dtype=np.uint8)
        path.write_bytes(data[: rng.integers(len(data))].tobytes() if trial % 5 == 0 else data.tobytes())
        os.utime(path, (trial, trial))
        with suppress(DataError):  # an ImageError is one
            for entry in iter_entries([str(path)]):
                with suppress(ImageError):
                    read_entry(entry)


def test_a_zip_whose_names_are_not_utf8_as_it_says_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"é.jpg": b"x"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xe9\xe9"))
    with pytest.raises(DataError, match="a name in it is not UTF-8, although it says so"):
        list_entries([str(path)])


@pytest.mark.parametrize("kind", ["zip", "", "gz"])
def test_an_archive_that_changes_after_it_was_listed_is_not_read(tmp_path: Path, kind: str) -> None:
    path = make(kind, tmp_path / "a", FILES)
    entry = list_entries([str(path)])[0]
    make(kind, path, {"b.jpg": b"another"})
    with pytest.raises(ImageError, match="changed since it was listed"):
        read_entry(entry)
    path.unlink()
    with pytest.raises(ImageError, match="the archive is missing"):
        read_entry(entry)


def test_an_archive_inside_a_folder_is_one_file(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", FILES)
    assert list_entries([str(tmp_path)]) == [Entry("a.zip", str(tmp_path / "a.zip"))]
