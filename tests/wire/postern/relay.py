"""A relay: the real binary with a scratch configuration, its accounts, log, metrics and command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .admin import Answer, Metrics, http_get
from .program import Program, environment, unprivileged
from .scratch import free_port, fresh_address, hand_over
from .settings import Settings, merge, to_toml
from .sink import Sink
from .smtp import Address, Client
from .waiting import PATIENCE, wait_for

HOSTNAME = "relay.example.net"
ANN = "ann@example.net"
PASSWORD = "correct horse battery staple"


class Relay:
    """Listens on 587-like `submission` and 465-like `submissions`, on an address of its own."""

    def __init__(self, binary: Path, folder: Path, settings: Settings, *, name: str = "relay",
                 env: dict[str, str] | None = None) -> None:
        self.binary = binary
        self.folder = folder
        self.name = name
        self.host = fresh_address()
        self.submission: Address = (self.host, free_port(self.host))
        self.submissions: Address = (self.host, free_port(self.host))
        self.state = folder / f"{name}.state"
        self.config = folder / f"{name}.toml"
        self.settings: Settings = {}
        self.env = env
        self.program = Program(name, [str(binary), "serve", "-c", str(self.config)], folder, env=env)
        base: Settings = {
            "server": {
                "hostname": HOSTNAME,
                "state": str(self.state),
                "listen": [f"{self.host}:{self.submission[1]} starttls", f"{self.host}:{self.submissions[1]} tls"],
                "threads": 2,
            },
            "limits": {"transactional": {"messages": [], "recipients": []}},
        }
        self.configure(merge(base, settings))
        self.state.mkdir(mode=0o700)
        hand_over(self.state)

    def configure(self, changes: Settings) -> None:
        """Lays `changes` upon the configuration and writes the file; the relay is not told."""
        self.settings = merge(self.settings, changes)
        self.config.write_text(to_toml(self.settings))

    # --- life ---

    @property
    def socket_path(self) -> Path:
        return self.state / "admin.sock"

    def start(self) -> Relay:
        self.program.start()

        def ready() -> bool:
            assert self.program.running, self.program.tail()
            try:
                return self.get("/readyz").status == 200
            except OSError:
                return False

        wait_for("the relay is ready", ready, 20)
        return self

    def stop(self) -> None:
        """A drain by SIGTERM: it ends with 0 and no sanitizer has found anything."""
        if self.program.running:
            code = self.program.stop()
            assert code == 0, f"exit code {code}\n{self.program.tail()}"
        crashed = self.program.exit_code not in (None, 0, -9)
        assert not crashed, f"ended by itself: {self.program.exit_code}\n{self.program.tail()}"
        self.program.assert_clean()

    def restart(self) -> Relay:
        self.stop()
        return self.start()

    def kill(self) -> None:
        self.program.kill()

    # --- command line ---

    def cli(self, *arguments: str, stdin: str = "", expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """`postern -c FILE ARGUMENTS...`; `expect` None takes any exit code."""
        done = subprocess.run(
            [str(self.binary), "-c", str(self.config), *arguments], input=stdin, capture_output=True,
            text=True, env=environment(self.env), cwd=self.folder, timeout=30 * PATIENCE,
            **unprivileged(),
        )
        if expect is not None:
            assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def cli_json(self, *arguments: str) -> list[dict[str, Any]]:
        """The same with --json: an object a line."""
        lines = self.cli(*arguments, "--json").stdout.splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def cli_json_any(self, *arguments: str) -> list[dict[str, Any]]:
        """The same, whatever the exit code."""
        lines = self.cli(*arguments, "--json", expect=None).stdout.splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def add_account(self, account: str = ANN, password: str = PASSWORD, owns: tuple[str, ...] = ()) -> None:
        options = [word for each in owns for word in ("--owns", each)]
        self.cli("account", "add", account, "--password-stdin", *options, stdin=password + "\n")

    def queue(self) -> list[dict[str, Any]]:
        return self.cli_json("queue", "list")

    # --- what it says of itself ---

    def get(self, target: str) -> Answer:
        return http_get(self.socket_path, target)

    def metrics(self) -> Metrics:
        return Metrics(self.get("/metrics").body)

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log so far: every line is one JSON object. The last one may be on its way still."""
        found = []
        whole, _, _ = self.program.output().rpartition("\n")
        for line in whole.splitlines():
            entry = json.loads(line)
            if event is None or entry.get("event") == event:
                found.append(entry)
        return found

    def wait_event(self, event: str, match: Callable[[dict[str, Any]], bool] = lambda _: True,
                   seconds: float = 10.0) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            return next((entry for entry in self.told(event) if match(entry)), None)

        return wait_for(f"event {event}", seen, seconds)

    def told(self, event: str) -> list[dict[str, Any]]:
        """As events(), while it runs: the last line may still be under way."""
        text = self.program.output()
        lines = text[:text.rfind("\n") + 1].splitlines()
        entries = (json.loads(line) for line in lines)
        return [entry for entry in entries if entry.get("event") == event]

    # --- clients ---

    def plain(self, **options: Any) -> Client:
        """Connected to the STARTTLS port; the greeting has been read."""
        client = Client(self.submission, **options)
        greeting = client.reply()
        assert greeting.code == 220, greeting
        return client

    def encrypted(self, **options: Any) -> Client:
        """Connected by TLS, greeted, EHLO said."""
        client = Client(self.submissions, tls=True, **options)
        greeting = client.reply()
        assert greeting.code == 220, greeting
        client.ehlo()
        return client

    def logged_in(self, account: str = ANN, password: str = PASSWORD, **options: Any) -> Client:
        client = self.encrypted(**options)
        reply = client.auth_plain(account, password)
        assert reply.code == 235, reply
        return client


def upstream(sink: Sink, **keys: Any) -> Settings:
    """An [[upstream]] table for a sink without TLS."""
    return merge({"address": sink.where, "tls": "none"}, keys)
