"""The one spelling of a .drbundle: what it is, and that nothing else is read."""

import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr_pipeline.bundle_storage import as_folder, file_names, pack_files, read_stored, require_one_spelling
from dr_pipeline.errors import BundleError

FILES = {"b.bin": bytes(range(16)), "a.txt": b"text", "configs/metadata.json": b"{}", "empty": b""}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pack_files(FILES, tmp_path / "a.drbundle")
    return tmp_path / "a.drbundle"


def refused(packed: Path) -> bool:
    """Whether a reader that reads everything refuses the file."""
    try:
        require_one_spelling(packed)
    except BundleError:
        return True
    return {name: read_stored(packed, name) for name in file_names(packed)} != FILES


def test_a_zip_program_reads_it(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
        assert archive.namelist() == sorted(FILES)
        for entry in archive.infolist():
            assert (entry.date_time, entry.external_attr >> 16) == ((1980, 1, 1, 0, 0, 0), 0o100644)
            assert (entry.compress_type, entry.extra, entry.comment) == (zipfile.ZIP_STORED, b"", b"")


def test_it_comes_back_and_equal_files_give_equal_bytes(packed: Path, tmp_path: Path) -> None:
    assert not refused(packed)
    other = tmp_path / "b.drbundle"
    pack_files(dict(reversed(FILES.items())), other)
    assert other.read_bytes() == packed.read_bytes()
    with as_folder(packed) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
        pack_files({name: read_stored(folder, name) for name in file_names(folder)}, other)
    assert not folder.exists()
    assert other.read_bytes() == packed.read_bytes()


def test_every_flipped_bit_is_refused(packed: Path) -> None:
    whole = packed.read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        packed.write_bytes(changed)
        assert refused(packed), at


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"\0" + data])
def test_a_shorter_or_longer_file_is_refused(packed: Path, change) -> None:
    packed.write_bytes(change(packed.read_bytes()))
    assert refused(packed)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_there_nothing_but_a_bundle_error_is_raised(
    packed: Path, junk: bytes, at: int, length: int
) -> None:
    whole = packed.read_bytes()
    changed = whole[:at] + junk + whole[at + length :]
    packed.write_bytes(changed)
    try:
        assert refused(packed) or changed == whole
    finally:
        packed.write_bytes(whole)


def zip_of(*names: str, compression: int = zipfile.ZIP_STORED, mode: int = 0o100644, comment: bytes = b"") -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = compression, mode << 16
            archive.writestr(entry, b"0" * 100)
        archive.comment = comment
    return buffer.getvalue()


def encrypted() -> bytes:
    data = bytearray(zip_of("a.txt"))
    data[6] |= 1
    return bytes(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zip_of("../a.txt"), "could lead out"),
        (zip_of("configs/../../a.txt"), "could lead out"),
        (zip_of("/etc/passwd"), "could lead out"),
        (zip_of("..\\a.txt"), "could lead out"),
        (zip_of("C:a.txt"), "could lead out"),
        (zip_of("a/b/c.txt"), "could lead out"),
        (zip_of(".hidden"), "could lead out"),
        (zip_of("näme"), "could lead out"),
        (zip_of("a.txt", "a.txt"), "twice"),
        (zip_of(*(f"{number}.txt" for number in range(33))), "more than 32 files"),
        (zip_of("a.txt", compression=zipfile.ZIP_DEFLATED), "compressed"),
        (encrypted(), "encrypted"),
        (zip_of("a.txt", mode=0o120777), "a header"),  # a link
        (zip_of("b.txt", "a.txt"), "the order"),
        (zip_of("a.txt", comment=b"see"), "a header"),
        (zip_of(), "not a .drbundle"),
        (b"", "not a .drbundle"),
        (b"no zip at all, but long enough for a header", "not a .drbundle"),
    ],
)
def test_another_zip_is_refused_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.drbundle").write_bytes(data)
    with pytest.raises(BundleError, match=reason), as_folder(tmp_path / "a.drbundle"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.drbundle"]


def test_a_size_that_the_file_does_not_have_is_refused_before_it_is_read(tmp_path: Path) -> None:
    name, size = b"a.txt", (1 << 32) - 2
    header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0x21, zlib.crc32(b""), size, size, len(name), 0)
    (tmp_path / "a.drbundle").write_bytes(header + name)
    for read in (file_names, require_one_spelling, lambda path: read_stored(path, "a.txt")):
        with pytest.raises(BundleError, match="ends within"):
            read(tmp_path / "a.drbundle")


def test_a_file_of_more_than_two_gib_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.drbundle").open("wb") as stream:
        stream.truncate(1 << 31)  # a sparse file
    with pytest.raises(BundleError, match="larger than 2 GiB"):
        file_names(tmp_path / "a.drbundle")
