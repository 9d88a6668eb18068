"""Signatures: what they cover, who is trusted, and that the program `minisign` agrees."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.bundle_files import METADATA, MODEL, SIGNATURE, SUMS, WEIGHTS
from dr_pipeline.bundle.read import read_bundle
from dr_pipeline.bundle.signature import (
    make_keys,
    read_public_keys,
    read_secret_key,
    require_signature,
    sign_bundle,
    trusted_identity,
)
from dr_pipeline.bundle_storage import file_names, pack_files, read_stored
from dr_pipeline.errors import BundleError, DataError
from tests.factories.bundles import make_bundle, onnx_model, photograph
from tests.factories.tamper import flips, refused

pytest.importorskip("minisign", reason="the extra signing: absent")

PASSWORD = "correct horse"  # noqa: S105


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two pairs of keys without a password."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        make_keys(folder / name, "")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    bundle = make_bundle(tmp_path_factory.mktemp("made") / "release")
    sign(bundle, keys / "one")
    return bundle


@pytest.fixture
def signed(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "release")


def sign(bundle: Path, key: Path) -> None:
    with read_secret_key(key, lambda: PASSWORD) as secret:
        sign_bundle(read_bundle(bundle, threads=1), secret)


def pack(folder: Path) -> Path:
    packed = folder.with_suffix(".drbundle")
    pack_files({name: read_stored(folder, name) for name in file_names(folder)}, packed)
    return packed


def test_a_folder_and_its_drbundle_have_one_signature(signed: Path, keys: Path) -> None:
    packed = pack(signed)
    found = require_signature(signed, keys / "one.pub")
    assert found == require_signature(packed, keys / "one.pub") == require_signature(packed, keys)
    assert found.comment.endswith(f"\tbundle:{read_bundle(signed, threads=1).bundle_id}")
    assert trusted_identity(signed, keys) == trusted_identity(packed, keys) == trusted_identity(packed, None)
    (signed / SIGNATURE).unlink()
    unsigned = pack(signed)
    sign(unsigned, keys / "two")
    assert require_signature(unsigned, keys / "two.pub").key_id != found.key_id


def test_what_is_not_signed_or_by_another_key_is_refused(signed: Path, keys: Path) -> None:
    with pytest.raises(BundleError, match=r"signed by key [0-9A-F]{16}, which is not trusted here"):
        trusted_identity(signed, keys / "two.pub")
    (signed / SIGNATURE).unlink()
    with pytest.raises(BundleError, match="is not signed"):
        trusted_identity(signed, keys)
    assert trusted_identity(signed, None).bundle_id


def test_a_bundle_that_was_changed_and_hashed_again_is_refused(signed: Path, keys: Path) -> None:
    """What checksums alone do not notice."""
    other = make_bundle(signed.with_name("other"), model=onnx_model(seed=1))
    shutil.copy(signed / SIGNATURE, other)
    assert read_bundle(other, threads=1)
    with pytest.raises(BundleError, match="does not fit SHA256SUMS"):
        trusted_identity(other, keys)


@pytest.mark.parametrize("name", [MODEL, METADATA, WEIGHTS])
def test_the_files_must_be_those_that_were_signed(signed: Path, keys: Path, name: str) -> None:
    (signed / name).write_bytes((signed / name).read_bytes() + b" ")
    with pytest.raises(BundleError, match=f"{name} was altered"):
        trusted_identity(signed, keys)


def test_flipped_bits_are_refused(signed: Path, keys: Path) -> None:
    packed = pack(signed)
    for root, files in ((signed, sorted(signed.rglob("*.*"))), (packed, [packed])):
        for what in flips(files, 30, seed=0):
            assert refused(root, keys / "one.pub"), what
        assert not refused(root, keys / "one.pub")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("signature from", "signature with"),  # which minisign does not notice
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n",
        lambda text: text.replace("bundle:", "bundle: "),
        lambda text: "",
        lambda text: "untrusted comment: signature from minisign secret key\n" * 4,
    ],
)
def test_a_signature_has_one_spelling(signed: Path, keys: Path, change) -> None:
    (signed / SIGNATURE).write_bytes(change((signed / SIGNATURE).read_text()).encode())
    with pytest.raises(BundleError, match="signature was altered"):
        require_signature(signed, keys)


def test_what_is_no_signature_is_refused_by_verify_too(signed: Path) -> None:
    for text in ("", "nonsense", "untrusted comment: a\nb\n"):
        (signed / SIGNATURE).write_text(text)
        assert cli.main(["verify", str(signed)]) == 2


def test_the_unused_bits_of_base64_are_none(signed: Path, keys: Path) -> None:
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    lines = (signed / SIGNATURE).read_bytes().splitlines()
    for at in (1, 3):
        last = len(lines[at].rstrip(b"=")) - 1
        other = lines[at][:last] + bytes([letters[letters.index(lines[at][last]) + 1]]) + lines[at][last + 1 :]
        assert base64.b64decode(other) == base64.b64decode(lines[at])
        (signed / SIGNATURE).write_bytes(b"\n".join([*lines[:at], other, *lines[at + 1 :]]) + b"\n")
        with pytest.raises(BundleError, match="signature was altered"):
            require_signature(signed, keys)


def test_a_damaged_bundle_is_not_signed(signed: Path, keys: Path) -> None:
    (signed / WEIGHTS).write_bytes(b"")
    with pytest.raises(BundleError, match="was altered"):
        sign(signed, keys / "two")


def test_keys(tmp_path: Path) -> None:
    make_keys(tmp_path / "a.key", PASSWORD)
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert read_secret_key(tmp_path / "a.key", lambda: PASSWORD).sign(b"")
    with pytest.raises(DataError, match="wrong password"):
        read_secret_key(tmp_path / "a.key", lambda: "another")
    with pytest.raises(DataError, match="there is a key already"):
        make_keys(tmp_path / "a.key", "")
    (tmp_path / "keys").mkdir()
    with pytest.raises(DataError, match=r"no \*\.pub file"):
        read_public_keys(tmp_path / "keys")
    shutil.copy(tmp_path / "a.key", tmp_path / "keys" / "b.pub")
    with pytest.raises(DataError, match="not a public key"):
        read_public_keys(tmp_path / "keys")
    (tmp_path / "nonsense").write_text("nonsense")
    with pytest.raises(DataError, match="no usable secret key"):
        read_secret_key(tmp_path / "nonsense", lambda: "")


@pytest.mark.parametrize("name", ["site.pub", ".", ""])
def test_the_public_key_never_takes_the_place_of_the_secret_one(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no name for a secret key") as refused:
        make_keys(Path(name), "")
    assert refused.value.todo == "name a file such as site.key"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["keygen", "sign"])
def test_a_password_that_nobody_can_be_asked_for_is_one_message(made: Path, tmp_path: Path, command: str) -> None:
    """As in a job of a scheduler, without a terminal."""
    key = tmp_path / "site.key"
    if command == "sign":
        make_keys(key, PASSWORD)
    words = ["keygen", "--out", str(key)] if command == "keygen" else ["sign", str(made), "--key", str(key)]
    environment = {name: value for name, value in os.environ.items() if name != "DR_PIPELINE_KEY_PASSWORD"}
    run = subprocess.run(
        [sys.executable, "-m", "dr_pipeline", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    assert run.returncode == 2
    assert "cannot be asked for: there is no terminal\n  to do: set DR_PIPELINE_KEY_PASSWORD" in run.stderr
    assert "Traceback" not in run.stderr


def test_what_a_link_leads_to_is_signed(signed: Path, keys: Path, tmp_path: Path) -> None:
    packed, link = pack(signed), tmp_path / "latest.drbundle"
    link.symlink_to(packed.name)
    sign(link, keys / "two")
    assert link.is_symlink()
    for path in (packed, link):
        require_signature(path, keys / "two.pub")


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, key, public = str(make_bundle(tmp_path / "release")), str(tmp_path / "a.key"), str(tmp_path / "a.pub")
    monkeypatch.setenv("DR_PIPELINE_KEY_PASSWORD", PASSWORD)
    assert cli.main(["keygen", "--out", key]) == 0
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.jpg").write_bytes(photograph(0))
    score = ["score", str(tmp_path / "one"), "--bundle", bundle, "--workers", "1", "--require-signature", public]
    assert cli.main([*score, "--out", str(tmp_path / "refused.csv")]) == 2
    assert "the bundle is not signed" in capsys.readouterr().err
    assert not list(tmp_path.glob("refused*"))
    assert cli.main(["sign", bundle, "--key", key]) == 0
    assert cli.main(["verify", bundle]) == 0
    assert "not verified without --require-signature" in capsys.readouterr().out
    assert cli.main(["verify", bundle, "--require-signature", public]) == 0
    assert "signed by the trusted key" in capsys.readouterr().out
    assert cli.main([*score, "--out", str(tmp_path / "scored.csv")]) == 0
    monkeypatch.setenv("DR_PIPELINE_KEY_PASSWORD", "another")
    assert cli.main(["sign", bundle, "--key", key]) == 2
    assert "wrong password" in capsys.readouterr().err


def minisign(*arguments: str | Path, password: str = "") -> str:
    program = shutil.which("minisign")
    if program is None:
        pytest.skip("the program minisign: absent")
    run = subprocess.run([program, *map(str, arguments)], input=f"{password}\n" * 2, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_minisign_verifies_ours(signed: Path, keys: Path) -> None:
    found = require_signature(signed, keys / "one.pub")
    assert found.comment in minisign("-V", "-m", signed / SUMS, "-p", keys / "one.pub")
    assert found.key_id in (keys / "one.pub").read_text()


def test_we_verify_minisigns(signed: Path, tmp_path: Path) -> None:
    key, public = tmp_path / "theirs.key", tmp_path / "theirs.pub"
    minisign("-G", "-W", "-s", key, "-p", public)
    minisign("-S", "-m", signed / SUMS, "-s", key)
    shown = require_signature(signed, public).key_id.lstrip("0")  # minisign prints no leading zeros
    assert f"public key {shown}\n" in public.read_text()
    sign(signed, key)
    minisign("-V", "-m", signed / SUMS, "-p", public)


def test_minisign_signs_with_our_key_and_its_password(signed: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "a.key", PASSWORD)
    minisign("-S", "-m", signed / SUMS, "-s", tmp_path / "a.key", password=PASSWORD)
    assert trusted_identity(signed, tmp_path / "a.pub")
