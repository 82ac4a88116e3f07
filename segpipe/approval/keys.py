"""Keys: a person's ed25519 key, encrypted with the password; signing and checking.

The public half stands in the chain, in the record that enrolled the person; the private
half lies in ``.reviews/keys/NAME.json``, outside of git, readable by its owner, and is
of no use without the password: scrypt with 128 MB for each guess, then AES-256-GCM.
"""

import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from segpipe.approval.records import Digest, fingerprint_of
from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file

log = logging.getLogger(__name__)
SHORTEST, LONGEST = 12, 200  # NIST SP 800-63B: long ones, no rules about signs
NAMES = 3  # letters of a name that a password may not hold; "jo" is in many words
# scrypt: OWASP's password storage cheat sheet, N = 2^17, r = 8, p = 1.
COST, BLOCK, LANES = 2**17, 8, 1
DEAREST = 2**20  # a file that asks for more memory than 1 GB is refused
NO_PACKAGE = (
    "signed records: expected the package cryptography, found none; install it with "
    "`pip install 'segpipe[review]'`"
)


class WrongPasswordError(DataError):
    """The password is not that of the key."""


class KeyFile(Document):
    """A private key, encrypted: .reviews/keys/NAME.json."""

    format_version: Literal[1]
    public_key: Digest
    cost: Annotated[PositiveInt, Field(le=DEAREST)]
    salt: str
    nonce: str
    encrypted: str


def key_path(root: Path, name: str) -> Path:
    """The file of a person's private key."""
    return root / ".reviews" / "keys" / f"{name}.json"


def check_password(password: str, name: str) -> None:
    """Refuse a new password that is easily guessed.

    Raises:
        DataError: If it is too short, too long, or contains the person's name.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise DataError(
            f"password: expected {SHORTEST} to {LONGEST} characters, found "
            f"{len(password)}; four random words make a good one"
        )
    if len(name) >= NAMES and name.casefold() in password.casefold():
        raise DataError("password: expected one without the name, found the name in it")


def make_key(password: str) -> KeyFile:
    """Make a new key, encrypted with a password that was checked."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise DataError(NO_PACKAGE) from error
    secret = ed25519.Ed25519PrivateKey.generate().private_bytes_raw()
    return _encrypt(secret, password)


def write_key(key: KeyFile, name: str, root: Path) -> None:
    """Write a private key for its owner's eyes only, in the place of an older one."""
    path = key_path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(key.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def set_key_aside(name: str, root: Path) -> None:
    """Keep a key that another of the same name would replace, as NAME~DIGEST.json.

    Records that this folder does not hold now, as in another branch of git, may need
    it still.
    """
    path = key_path(root, name)
    if path.is_file():
        kept = path.with_name(f"{name}~{digest_file(path)[:12]}.json")
        os.replace(path, kept)
        log.warning("%s: the key that lay there is kept as %s", path, kept.name)


def read_key(name: str, root: Path) -> KeyFile:
    """Read a person's encrypted key.

    Raises:
        DataError: If there is none on this machine.
    """
    path = key_path(root, name)
    if not path.is_file():
        raise DataError(
            f"{path}: expected the key of {name}, found no file; keys are no part of "
            "git: sign on the machine where `segpipe review users add` made it, or "
            "copy it from there"
        )
    return KeyFile.read(path)


def unlock(key: KeyFile, password: str) -> Callable[[bytes], str]:
    """Decrypt a key once, to sign one message or many: message to hexadecimal.

    Raises:
        WrongPasswordError: If the password is wrong.
    """
    from cryptography.hazmat.primitives.asymmetric import ed25519

    secret = _decrypt(key, password)
    private = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    return lambda message: private.sign(message).hex()


def is_signed(public_key: str, signature: str, message: bytes) -> bool:
    """Whether a signature belongs to a message and a public key."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise DataError(NO_PACKAGE) from error
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):  # the bytes may be no key at all
        return False
    return True


def change_password(name: str, old: str, new: str, root: Path) -> None:
    """Encrypt a person's key with another password; the key stays the same.

    Raises:
        DataError: If the old password is wrong, or the new one easily guessed.
    """
    check_password(new, name)
    write_key(_encrypt(_decrypt(read_key(name, root), old), new), name, root)


def _encrypt(secret: bytes, password: str) -> KeyFile:
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    private = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    public = private.public_key().public_bytes_raw()
    salt, nonce = os.urandom(16), os.urandom(12)
    cipher = AESGCM(_derive(password, salt, COST))
    return KeyFile(
        format_version=1,
        public_key=public.hex(),
        cost=COST,
        salt=salt.hex(),
        nonce=nonce.hex(),
        encrypted=cipher.encrypt(nonce, secret, public).hex(),
    )


def _decrypt(key: KeyFile, password: str) -> bytes:
    """The private key; its public half is bound to it, so none can be exchanged."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        salt, nonce, encrypted, public = (
            bytes.fromhex(text)
            for text in (key.salt, key.nonce, key.encrypted, key.public_key)
        )
        cipher = AESGCM(_derive(password, salt, key.cost))
        return cipher.decrypt(nonce, encrypted, public)
    except (InvalidTag, ValueError) as error:
        short = fingerprint_of(key.public_key)[:12]
        raise WrongPasswordError(
            f"password: expected the one of the key {short}, found another; nothing "
            "was signed. Try again: a forgotten password is lost, and an admin revokes "
            "the key and adds a new one"
        ) from error


def _derive(password: str, salt: bytes, cost: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=cost, r=BLOCK, p=LANES).derive(
        password.encode()
    )
