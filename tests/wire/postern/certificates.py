"""Certificates for the scratch relays, by the openssl program: ECDSA and RSA, self-signed or by a CA."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make_certificate(folder: Path, name: str, *, algorithm: str = "ecdsa",
                     names: tuple[str, ...] = ("relay.example.net",),
                     addresses: tuple[str, ...] = (), days: int = 30) -> Certificate:
    """Self-signed, good for `names` and `addresses`; both files readable by everybody."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    key = {
        "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        "rsa": ["-newkey", "rsa:2048"],
    }[algorithm]
    alternatives = [f"DNS:{each}" for each in names] + [f"IP:{each}" for each in addresses]
    _openssl("req", "-x509", *key, "-nodes", "-days", str(days), "-subj", f"/CN={names[0]}",
             "-addext", "subjectAltName=" + ",".join(alternatives),
             "-keyout", str(made.key), "-out", str(made.certificate))
    made.key.chmod(0o644)
    made.certificate.chmod(0o644)
    return made
