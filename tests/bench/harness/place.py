"""Where the bench runs: a folder, a certificate, a core for the server and one for the rest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.servers import Place, run


def make(folder: Path, built: Path) -> Place:
    folder.chmod(0o711)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=bench.example.net", "-addext", "subjectAltName=DNS:bench.example.net", "-keyout", key, "-out",
        certificate)
    if os.getuid() == 0:
        shutil.chown(key, "nobody")
    cpus = sorted(os.sched_getaffinity(0))
    return Place(folder, built / "postern", built / "tests" / "bench", certificate, key, cpus[0], cpus[-1])
