"""The proxies of docs/how-to/serve-review.md, with a certificate of their own."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.support.places import ROOT
from tests.support.servers import wait_until

LAB = "review.example.org"
NGINX = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{block}
}}
"""
CADDY = "{{\n    admin off\n    auto_https disable_redirects\n}}\n{block}"


def block_of(start: str) -> str:
    """The configuration that begins so in the docs."""
    text = (ROOT / "docs/how-to/serve-review.md").read_text(encoding="utf-8")
    (found,) = (
        block
        for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
        if block.startswith(start)
    )
    return str(found)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of LAB, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, LAB)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(LAB)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "review.pem", folder / "review.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return certificate, secret


def trusting(certificate: Path) -> ssl.SSLContext:
    """TLS of a client that trusts this certificate alone."""
    return ssl.create_default_context(cafile=str(certificate))


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def proxy(kind: str, folder: Path, *, port: int, behind: int) -> Iterator[Path]:
    """A proxy of the docs before a server; yields its certificate.

    Args:
        kind: ``nginx`` or ``caddy``; the test is skipped where it is not installed.
        folder: Its files.
        port: Where it listens, in the place of 443.
        behind: Where the review listens.
    """
    program = shutil.which(kind, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{kind} is not installed")
    folder.mkdir()
    certificate, key = write_certificate(folder)
    block = block_of("server {" if kind == "nginx" else LAB)
    block = block.replace("127.0.0.1:8010", f"127.0.0.1:{behind}")
    if kind == "nginx":
        block = block.replace("listen 443", f"listen 127.0.0.1:{port}")
        block = block.replace("/etc/ssl", str(folder))
        text, words = NGINX.format(folder=folder, block=block), ["-p", str(folder)]
        words += ["-c", str(folder / "config")]
    else:
        tls = f"{LAB}:{port} {{\n    bind 127.0.0.1\n    tls {certificate} {key}"
        text = CADDY.format(block=block.replace(f"{LAB} {{", tls))
        words = ["run", "--adapter", "caddyfile", "--config", str(folder / "config")]
    (folder / "config").write_text(text)
    log = folder / "log"
    with log.open("wb") as file:
        environment = {**os.environ, "HOME": str(folder)}
        process = subprocess.Popen(
            [program, *words], stdout=file, stderr=file, env=environment
        )
    try:
        wait_until(lambda: answers(port), 30, what=kind, log=log)
        yield certificate
    finally:
        process.terminate()
        process.wait(20)
