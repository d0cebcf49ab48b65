"""Certificates for the scratch relays, by the openssl program: ECDSA and RSA, self-signed or by a CA."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
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


def fingerprint(made: Certificate) -> str:
    """SHA-256 of the certificate's DER, as the relay shows it."""
    done = subprocess.run(["openssl", "x509", "-in", str(made.certificate), "-noout", "-fingerprint", "-sha256"],
                          capture_output=True, text=True, check=True)
    return done.stdout.partition("=")[2].strip().replace(":", "").lower()


def _day(days: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%y%m%d%H%M%SZ")


class Authority:
    """A certificate authority in a folder of its own: issues to clients, revokes, and writes its list."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self._config = self.folder / "openssl.cnf"
        self._config.write_text(f"""[ca]
default_ca = this
[this]
database = {self.folder}/index
new_certs_dir = {self.folder}
serial = {self.folder}/serial
crlnumber = {self.folder}/crlnumber
certificate = {self.folder}/ca.pem
private_key = {self.folder}/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = subject
[subject]
""")
        (self.folder / "index").write_text("")
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "crlnumber").write_text("1000\n")
        self.certificate = self.folder / "ca.pem"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "30", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                 "-keyout", str(self.folder / "ca.key"), "-out", str(self.certificate))
        self.certificate.chmod(0o644)

    def issue(self, name: str, *, email: tuple[str, ...] = (), common_name: str = "", begins: float = -1,
              ends: float = 30, usage: str = "") -> Certificate:
        """A client's certificate; `begins` and `ends` in days from now."""
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        extensions = [f"subjectAltName={','.join('email:' + each for each in email)}"] if email else []
        extensions += [f"extendedKeyUsage={usage}"] if usage else []
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-subj", f"/CN={common_name or name}", *(w for each in extensions for w in ("-addext", each)),
                 "-keyout", str(made.key), "-out", str(request))
        _openssl("ca", "-batch", "-notext", "-config", str(self._config), "-in", str(request),
                 "-startdate", _day(begins), "-enddate", _day(ends), "-out", str(made.certificate))
        made.key.chmod(0o644)
        made.certificate.chmod(0o644)
        return made

    def revoke(self, made: Certificate) -> None:
        _openssl("ca", "-config", str(self._config), "-revoke", str(made.certificate))

    def write_list(self, name: str = "list.crl", *, ends: float = 30) -> Path:
        """The revocation list as it is now; it replaces an earlier one at once."""
        fresh, path = self.folder / f"{name}.fresh", self.folder / name
        _openssl("ca", "-config", str(self._config), "-gencrl", "-crl_lastupdate", _day(-60),
                 "-crl_nextupdate", _day(ends), "-out", str(fresh))
        fresh.chmod(0o644)
        fresh.rename(path)
        return path
