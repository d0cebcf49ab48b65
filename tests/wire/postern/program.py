"""A program under test in the background: its log, its end, and what a sanitizer said of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from .scratch import NOBODY, runs_as_root
from .waiting import PATIENCE

SANITIZER = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w*Sanitizer"
)


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """A small environment: nothing of the caller's POSTERN_* reaches the program."""
    kept = ("PATH", "LANG", "TMPDIR")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env["ASAN_OPTIONS"] = "detect_stack_use_after_return=1:exitcode=99"
    env["UBSAN_OPTIONS"] = "print_stacktrace=1"
    env["TSAN_OPTIONS"] = "exitcode=66:second_deadlock_stack=1"
    env.update(extra or {})
    return env


def unprivileged() -> dict[str, Any]:
    """Arguments of Popen that give up root, where the tests run as root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if runs_as_root() else {}


class Program:
    """One process; stdout and stderr go to files in `folder`, appended over restarts."""

    def __init__(self, name: str, argv: list[str], folder: Path, *, as_root: bool = False,
                 env: dict[str, str] | None = None) -> None:
        self.name = name
        self.argv = argv
        self.stdout_path = folder / f"{name}.out"
        self.stderr_path = folder / f"{name}.err"
        self._as_root = as_root
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._told_to_end = False

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        assert not self.running, f"{self.name} is running already"
        self._told_to_end = False
        with open(self.stdout_path, "ab") as out, open(self.stderr_path, "ab") as err:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=environment(self._env), cwd=self.stdout_path.parent,
                **({} if self._as_root else unprivileged()),
            )

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._told_to_end = number in (signal.SIGTERM, signal.SIGINT)
        self._process.send_signal(number)

    def wait(self, seconds: float = 20.0) -> int:
        assert self._process is not None
        return self._process.wait(seconds * PATIENCE)

    def kill(self) -> None:
        """SIGKILL, and no questions asked."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM and the exit code; a program that does not end in time is killed and blamed."""
        assert self._process is not None
        if self._process.poll() is None and not self._told_to_end:
            self._process.terminate()
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end on SIGTERM\n{self.tail()}") from None

    def output(self) -> str:
        return _text(self.stdout_path)

    def errors(self) -> str:
        return _text(self.stderr_path)

    def tail(self, lines: int = 40) -> str:
        out = "\n".join(self.output().splitlines()[-lines:])
        err = "\n".join(self.errors().splitlines()[-lines:])
        return f"--- {self.name}: {' '.join(self.argv)}\n--- stdout\n{out}\n--- stderr\n{err}"

    def assert_clean(self) -> None:
        """No sanitizer has reported anything so far."""
        found = SANITIZER.search(self.errors())
        assert found is None, f"{self.name}: {found and found.group()}\n{self.errors()[-8000:]}"


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
