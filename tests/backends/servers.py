"""Real password servers from Debian packages, each in a scratch folder: saslauthd, slapd, PostgreSQL, sasldb2."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from postern.program import unprivileged
from postern.scratch import free_port, fresh_address, hand_over
from postern.settings import Settings
from postern.waiting import PATIENCE, wait_for

DOMAIN = "example.net"
ANN, ANNS = "ann@example.net", "correct horse"
BOB, BOBS = "bob@other.example", "battery staple"
PLAIN_ONLY = ["PLAIN", "LOGIN"]
WITH_SCRAM = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]


def library(name: str) -> str:
    """Below the folder of this machine's architecture; where it is not there, a path that is none."""
    return str(next(Path("/usr/lib").glob(f"*/{name}"), Path("/usr/lib") / name))


def run(*argv: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """A command as the unprivileged user; it must do what it was asked to."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60 * PATIENCE,
                          env={**os.environ, **(env or {})}, cwd="/", **unprivileged())
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def answers(family: socket.AddressFamily, place: Any) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex(place) == 0


class Server:
    """A back-end: what the relay is told of it, and its three states beside being well."""

    name: ClassVar[str]
    backend: ClassVar[str]  # auth.backend
    mechanisms: ClassVar[list[str]]
    needs: ClassVar[list[str]] = []  # programs and files, by their absolute paths

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str:
        return next((need for need in cls.needs if not Path(need).exists()), "")

    @property
    def options(self) -> Settings:
        raise NotImplementedError

    def prepare(self) -> None:
        """Makes its files, once."""

    def start(self) -> None:
        raise NotImplementedError

    def set_password(self, user: str, password: str) -> None:
        raise NotImplementedError

    def away(self) -> None:
        """As after a crash."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """It takes connections, and says nothing."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def spawn(self, *argv: str, env: dict[str, str] | None = None) -> None:
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True, env={**os.environ, **(env or {})}, **unprivileged())

    def wait_until(self, family: socket.AddressFamily, place: Any) -> None:
        def ready() -> bool:
            assert self._process is not None and self._process.poll() is None, self.log()
            return answers(family, place)

        wait_for(f"{self.name} listens", ready, 30)

    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text("utf-8", "replace")[-4000:]


class SaslauthdPam(Server):
    """saslauthd with PAM: pam_wrapper lets it read a service file of ours, pam_matrix the passwords."""

    name, backend, mechanisms = "saslauthd-pam", "saslauthd", PLAIN_ONLY
    _wrapper = library("libpam_wrapper.so")
    _matrix = library("pam_wrapper/pam_matrix.so")
    needs = ["/usr/sbin/saslauthd", _wrapper, _matrix]

    def prepare(self) -> None:
        (self.folder / "pam.d").mkdir()
        (self.folder / "run").mkdir()
        # Users of our own domain come by their local part, others by the whole name.
        self._passwords = {"ann": ANNS, BOB: BOBS}
        self._write()
        (self.folder / "pam.d" / "smtp").write_text(
            f"auth required {self._matrix} passdb={self.folder}/passdb\n"
            f"account required {self._matrix} passdb={self.folder}/passdb\n")
        hand_over(self.folder)

    def _write(self) -> None:
        (self.folder / "passdb").write_text(
            "".join(f"{user}:{password}:smtp\n" for user, password in self._passwords.items()))
        hand_over(self.folder / "passdb")

    def set_password(self, user: str, password: str) -> None:
        self._passwords[user.removesuffix("@" + DOMAIN)] = password
        self._write()

    def start(self) -> None:
        self.spawn("/usr/sbin/saslauthd", "-a", "pam", "-m", str(self.folder / "run"), "-n", "3", "-d",
                   env={"LD_PRELOAD": self._wrapper, "PAM_WRAPPER": "1",
                        "PAM_WRAPPER_SERVICE_DIR": str(self.folder / "pam.d")})
        self.wait_until(socket.AF_UNIX, self._socket)

    @property
    def _socket(self) -> str:
        return str(self.folder / "run" / "mux")

    @property
    def options(self) -> Settings:
        return {"saslauthd_path": self._socket}


class Slapd(Server):
    """OpenLDAP for `ldapdb`: the relay logs in as a proxy that may speak for the people."""

    name, backend, mechanisms = "ldapdb", "ldapdb", PLAIN_ONLY
    needs = ["/usr/sbin/slapd", library("sasl2/libldapdb.so")]
    _proxy_password = "proxy's secret"

    def prepare(self) -> None:
        self.host = fresh_address()
        self.port = free_port(self.host)
        (self.folder / "ldap").mkdir()
        # A copy: where AppArmor confines slapd, it confines the installed one.
        self.binary = self.folder / "slapd"
        shutil.copy2("/usr/sbin/slapd", self.binary)
        base = "dc=example,dc=net"
        schemas = "\n".join(f"include /etc/ldap/schema/{one}.schema" for one in ("core", "cosine", "inetorgperson"))
        (self.folder / "slapd.conf").write_text(f"""{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.folder}/slapd.pid
sasl-host localhost
authz-policy to
authz-regexp "^uid=postern,.*cn=auth$" "cn=postern,{base}"
authz-regexp "^uid=([^,]+),.*cn=auth$" "ldap:///ou=people,{base}??sub?(mail=$1)"
authz-regexp "^uid=([^,]+),cn=auth$" "ldap:///ou=people,{base}??sub?(mail=$1)"
database mdb
suffix "{base}"
rootdn "cn=admin,{base}"
rootpw "admin's"
directory {self.folder}/ldap
access to attrs=userPassword by self read by anonymous auth by * none
access to * by * read
""")
        people = "".join(f"""
dn: uid={user.partition("@")[0]},ou=people,{base}
objectClass: inetOrgPerson
uid: {user.partition("@")[0]}
cn: {user}
sn: {user}
mail: {user}
userPassword: {password}
""" for user, password in ((ANN, ANNS), (BOB, BOBS)))
        (self.folder / "people.ldif").write_text(f"""dn: {base}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: cn=postern,{base}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: postern
userPassword: {self._proxy_password}
authzTo: ldap:///ou=people,{base}??sub?(objectClass=inetOrgPerson)
{people}""")
        hand_over(self.folder)
        run(str(self.binary), "-T", "add", "-f", str(self.folder / "slapd.conf"), "-l",
            str(self.folder / "people.ldif"))

    def start(self) -> None:
        self.spawn(str(self.binary), "-f", str(self.folder / "slapd.conf"), "-h",
                   f"ldap://{self.host}:{self.port}/", "-d", "0")
        self.wait_until(socket.AF_INET, (self.host, self.port))

    def set_password(self, user: str, password: str) -> None:
        change = (f"dn: uid={user.partition('@')[0]},ou=people,dc=example,dc=net\n"
                  f"changetype: modify\nreplace: userPassword\nuserPassword: {password}\n")
        run("ldapmodify", "-x", "-H", f"ldap://{self.host}:{self.port}/", "-D", "cn=admin,dc=example,dc=net",
            "-w", "admin's", stdin=change)

    @property
    def options(self) -> Settings:
        return {"ldapdb_uri": f"ldap://{self.host}:{self.port}/", "ldapdb_id": "postern",
                "ldapdb_pw": self._proxy_password, "ldapdb_mech": "SCRAM-SHA-256"}


class SaslauthdLdap(Slapd):
    """saslauthd with LDAP, in front of the same slapd."""

    name, backend, mechanisms = "saslauthd-ldap", "saslauthd", PLAIN_ONLY
    needs = ["/usr/sbin/saslauthd", "/usr/sbin/slapd"]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._directory: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        super().prepare()
        (self.folder / "run").mkdir()
        (self.folder / "saslauthd.conf").write_text(
            f"ldap_servers: ldap://{self.host}:{self.port}/\n"
            "ldap_search_base: ou=people,dc=example,dc=net\n"
            # With -r each name comes whole.
            "ldap_filter: (mail=%u)\n")
        hand_over(self.folder)

    def start(self) -> None:
        if self._directory is None:
            super().start()
            self._directory, self._process = self._process, None
        self.spawn("/usr/sbin/saslauthd", "-a", "ldap", "-r", "-O", str(self.folder / "saslauthd.conf"), "-m",
                   str(self.folder / "run"), "-n", "3", "-d")
        self.wait_until(socket.AF_UNIX, str(self.folder / "run" / "mux"))

    def end(self) -> None:
        super().end()
        self._process, self._directory = self._directory, None
        super().end()

    @property
    def options(self) -> Settings:
        return {"saslauthd_path": str(self.folder / "run" / "mux")}


class Postgres(Server):
    """PostgreSQL for `sql`, on a Unix socket; the relay's password there has what needs quoting."""

    name, backend, mechanisms = "sql", "sql", WITH_SCRAM
    _bin = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/lib/postgresql"))
    needs = [str(_bin / "initdb"), library("sasl2/libsql.so")]
    _password = "it's a \\ secret"

    def prepare(self) -> None:
        self.data = self.folder / "pg"
        self.sockets = self.folder / "s"
        self.sockets.mkdir()
        (self.folder / "super").write_text("super\n")
        hand_over(self.folder)
        run(str(self._bin / "initdb"), "-D", str(self.data), "-U", "super", "-A", "scram-sha-256",
            f"--pwfile={self.folder}/super", "--no-sync", "--locale=C.UTF-8")
        self.start()
        self.sql("CREATE DATABASE mail", database="postgres")
        quoted = self._password.replace("'", "''")
        self.sql(f"CREATE ROLE postern LOGIN PASSWORD '{quoted}'; "
                 "CREATE TABLE users (name text, domain text, password text, PRIMARY KEY (name, domain)); "
                 "GRANT ALL ON users TO postern;")
        for user, password in ((ANN, ANNS), (BOB, BOBS)):
            local, _, domain = user.partition("@")
            self.sql(f"INSERT INTO users VALUES ('{local}', '{domain}', '{password}')")
        self.end()

    def sql(self, text: str, database: str = "mail") -> str:
        return run(str(self._bin / "psql"), "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", str(self.sockets),
                   "-U", "super", "-d", database, "-c", text, env={"PGPASSWORD": "super"})

    def set_password(self, user: str, password: str) -> None:
        local, _, domain = user.partition("@")
        self.sql(f"UPDATE users SET password = '{password}' WHERE name = '{local}' AND domain = '{domain}'")

    def start(self) -> None:
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.spawn(str(self._bin / "postgres"), "-D", str(self.data), "-k", str(self.sockets), "-c",
                   "listen_addresses=", "-c", "fsync=off", "-c", "unix_socket_permissions=0777")

        def ready() -> bool:
            done = subprocess.run([str(self._bin / "pg_isready"), "-q", "-h", str(self.sockets)], check=False)
            return done.returncode == 0

        wait_for("PostgreSQL is ready", ready, 30)

    def away(self) -> None:
        """Its processes are no group: it is told to crash them itself."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30 * PATIENCE)
        self._process = None

    def end(self) -> None:
        if self._process is not None:
            self.away()

    @property
    def options(self) -> Settings:
        return {"sql_engine": "pgsql", "sql_hostnames": str(self.sockets), "sql_user": "postern",
                "sql_passwd": self._password, "sql_database": "mail",
                "sql_select": "SELECT password FROM users WHERE name = '%u' AND domain = '%r'"}


class Sasldb(Server):
    """The file that saslpasswd2 makes. Slow is a FIFO in its place: whoever opens it waits."""

    name, backend, mechanisms = "sasldb", "sasldb", WITH_SCRAM
    needs = ["/usr/sbin/saslpasswd2", library("sasl2/libsasldb.so")]

    @property
    def _file(self) -> Path:
        return self.folder / "sasldb2"

    def prepare(self) -> None:
        for user, password in ((ANN, ANNS), (BOB, BOBS)):
            self.set_password(user, password)

    def set_password(self, user: str, password: str) -> None:
        local, _, domain = user.partition("@")
        run("/usr/sbin/saslpasswd2", "-f", str(self._file), "-c", "-p", "-u", domain, local, stdin=password)

    def start(self) -> None:
        aside = self.folder / "aside"
        if aside.exists():
            aside.rename(self._file)

    def away(self) -> None:
        self._file.rename(self.folder / "aside")

    def freeze(self) -> None:
        self.away()
        os.mkfifo(self._file)
        hand_over(self._file)

    def thaw(self) -> None:
        fifo = self.folder / "fifo"
        self._file.rename(fifo)
        self.start()

        def nobody_waits() -> bool:
            try:
                os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return True
            return False

        wait_for("nobody waits at the FIFO", nobody_waits, 10)
        fifo.unlink()

    @property
    def options(self) -> Settings:
        return {"sasldb_path": str(self._file)}


SERVERS: dict[str, type[Server]] = {
    one.name: one for one in (SaslauthdPam, SaslauthdLdap, Slapd, Postgres, Sasldb)}
