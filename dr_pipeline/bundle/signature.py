"""Signatures of bundles in minisign's format (Ed25519; jedisct1.github.io/minisign), by the package py-minisign.

Signed is SHA256SUMS, which has the hash of every file: so a folder and its `.drbundle` have one signature, and the
program `minisign` verifies it too. It lies beside SHA256SUMS.
"""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dr_pipeline.bundle.bundle_files import SIGNATURE, SUMS
from dr_pipeline.bundle.identity import BundleIdentity, identify_bundle
from dr_pipeline.bundle.verify import verified_content, verify_weights
from dr_pipeline.bundle_storage import file_names, pack_files, read_stored
from dr_pipeline.errors import BundleError, DataError
from dr_pipeline.files import atomic_write

if TYPE_CHECKING:
    from minisign import PublicKey, SecretKey, Signature

    from dr_pipeline.bundle.read import Bundle

_PUBLIC = ".pub"
# minisign's own. It is the one line that no signature covers, so that only this one is accepted.
_UNTRUSTED_COMMENT = "signature from minisign secret key"
# scrypt with N = 2^17, r = 8, p = 1 (128 MiB), as OWASP's "Password Storage Cheat Sheet" asks.
_OPERATIONS, _MEMORY = 1 << 22, 1 << 27


@dataclass(frozen=True)
class Signed:
    """A signature that was verified.

    Attributes:
        key_id: Of the trusted key, as `minisign` prints it.
        comment: The trusted comment: time and bundle id, as the signer states them.
    """

    key_id: str
    comment: str


def trusted_identity(root: Path, keys: Path | None) -> BundleIdentity:
    """The identity of a bundle; where `keys` are given, only after signature and hashes of all files are verified.

    Args:
        root: The bundle.
        keys: A public key, or a folder of them; None: no signature is asked for, and nothing is verified.

    Raises:
        BundleError: No trusted key signed the bundle, or it was altered.
        DataError: A key cannot be read.
    """
    identity = identify_bundle(root)
    if keys is not None:
        require_signature(root, keys)
        verified_content(root)
        verify_weights(root)
        if identify_bundle(root) != identity:
            raise BundleError("the bundle was changed while it was verified", where=str(root))
    return identity


def require_signature(root: Path, keys: Path) -> Signed:
    """Verifies the signature of SHA256SUMS; the files themselves are verified against SHA256SUMS elsewhere.

    Raises:
        BundleError: The bundle is not signed, was signed by another key, or SHA256SUMS or signature were altered.
        DataError: A key cannot be read.
    """
    from minisign import VerifyError

    trusted, signature = read_public_keys(keys), _read_signature(root)
    signer = key_id(bytes(signature).splitlines()[1])
    by_signer = [key for key in trusted if key_id(key.to_base64()) == signer]
    if not by_signer:
        known = ", ".join(key_id(key.to_base64()) for key in trusted)
        raise BundleError(
            f"signed by key {signer}, which is not trusted here (trusted: {known})",
            where=str(root),
            todo=f"have the signer's public key confirmed by another way, and add it to {keys}; else do not use it",
        )
    for key in by_signer:
        try:
            key.verify(read_stored(root, SUMS), signature)
        except VerifyError:
            continue
        return Signed(signer, signature.trusted_comment)
    raise _altered(root, f"it does not fit {SUMS}")


def signer_of(root: Path) -> str:
    """The id of the key that a bundle names as its signer, which is not verified; "" where it is not signed.

    Raises:
        BundleError: It has something else in the place of a signature.
    """
    if SIGNATURE not in file_names(root):
        return ""
    try:
        return key_id(read_stored(root, SIGNATURE).splitlines()[1])
    except (IndexError, ValueError) as error:
        raise _altered(root, f"no signature ({error})") from None


def sign_bundle(bundle: "Bundle", key: "SecretKey") -> Signed:
    """Signs a bundle that was read, and puts the signature into its folder or `.drbundle`, over an earlier one.

    Raises:
        BundleError: Its weights of training were altered.
    """
    root = bundle.root.resolve()  # of a link, what it leads to: a new file in its place would leave that unsigned
    verify_weights(root)
    comment = f"timestamp:{int(time.time())}\tbundle:{bundle.bundle_id}"
    signature = bytes(key.sign(read_stored(root, SUMS), trusted_comment=comment)) + b"\n"
    if root.is_file():
        files = {name: read_stored(root, name) for name in file_names(root)}
        pack_files({**files, SIGNATURE: signature}, root)
    else:
        with atomic_write(root / SIGNATURE) as stream:
            stream.write(signature)
    return Signed(key_id(key.get_public_key().to_base64()), comment)


def make_keys(secret: Path, password: str) -> str:
    """Makes a pair of keys: `secret`, which only its owner may read, and the public one beside it, `.pub`.

    Args:
        secret: The file to write; the public key has the suffix `.pub` instead.
        password: Encrypts the secret key; "": it is not encrypted.

    Returns:
        The key's id.

    Raises:
        DataError: There is a file already, or the two keys would be one file.
    """
    from minisign import KeyPair

    if not secret.name or secret.suffix == _PUBLIC:
        raise DataError(
            f"no name for a secret key: the public one beside it has the suffix {_PUBLIC}",
            where=str(secret),
            todo="name a file such as site.key",
        )
    for path in (secret, secret.with_suffix(_PUBLIC)):
        if path.exists():
            raise DataError("there is a key already", where=str(path), todo="name another file")
    pair = KeyPair.generate()
    public = pair.public_key
    with pair.secret_key as key:
        if password:
            key.encrypt(password, opslimit=_OPERATIONS, memlimit=_MEMORY)
        with atomic_write(secret, private=True) as stream:
            stream.write(bytes(key) + b"\n")
    identity = key_id(public.to_base64())
    public.untrusted_comment = f"minisign public key {identity}"
    with atomic_write(secret.with_suffix(_PUBLIC)) as stream:
        stream.write(bytes(public) + b"\n")
    return identity


def read_secret_key(path: Path, ask_password: Callable[[], str]) -> "SecretKey":
    """Reads a secret key; the password is asked for where it is encrypted.

    Raises:
        DataError: It is none, or the password is wrong.
    """
    from minisign import Error, SecretKey

    try:
        key = SecretKey.from_file(path)
        if key.is_encrypted():
            key.decrypt(ask_password())
    except Error as error:
        raise DataError(f"no usable secret key: {error}", where=str(path), todo="dr-pipeline keygen --help") from None
    return key


def read_public_keys(path: Path) -> "tuple[PublicKey, ...]":
    """The public key of a file, or those of all `.pub` files of a folder.

    Raises:
        DataError: A file is no public key, or the folder has none.
    """
    from minisign import Error, PublicKey

    files = sorted(path.glob(f"*{_PUBLIC}")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"the folder has no *{_PUBLIC} file", where=str(path), todo="put the trusted keys there")
    keys = []
    for file in files:
        try:
            keys.append(PublicKey.from_file(file))
        except Error as error:
            raise DataError(f"not a public key: {error}", where=str(file), todo="name minisign's .pub file") from None
    return tuple(keys)


def key_id(encoded: bytes) -> str:
    """The id of the key, as `minisign` prints it, in a public key or a signature in base64."""
    return base64.b64decode(encoded)[2:10][::-1].hex().upper()


def _read_signature(root: Path) -> "Signature":
    from minisign import Error, Signature

    if SIGNATURE not in file_names(root):
        raise BundleError(
            "the bundle is not signed", where=str(root), todo="get a signed one from its source, or do not use it"
        )
    data = read_stored(root, SIGNATURE)
    try:
        signature = Signature.from_bytes(data)
    except Error as error:
        raise _altered(root, str(error)) from None
    # The untrusted comment, line ends and the unused bits of base64 are covered by no signature: one spelling only.
    if data != bytes(signature) + b"\n" or signature.untrusted_comment != _UNTRUSTED_COMMENT:
        raise _altered(root, "not as minisign spells it")
    return signature


def _altered(root: Path, why: str) -> BundleError:
    return BundleError(
        f"{SUMS} or its signature was altered: {why}", where=str(root), todo="get the bundle again; do not use this one"
    )
