"""Installs the packages that a script needs before it starts, with all output in the log.

The needs are read from the code that was sent, never guessed: a PEP 723 block in the script, else `uv.lock`, else
`requirements.txt`, else the dependencies in `pyproject.toml`. If the host's own Python has it all, that one is used: a
GPU image comes with a PyTorch of several gigabytes. Else uv makes an environment, named by the content of those files,
which the next run with the same content finds ready.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from agent.errors import AgentError
from agent.publish.log import last_lines
from contract.clock import Clock, wait_until

INSTALL_SECONDS = 1800.0
POLL_SECONDS = 0.05
HINT = "`--no-deps` runs with what the host has"
# https://packaging.python.org/en/latest/specifications/inline-script-metadata/
SCRIPT_BLOCK = re.compile(r"(?m)^# /// script$\s(?:^#(?:| .*)$\s)+^# ///$")
# What uv writes into a new script; any other constraint is left to uv.
REQUIRES_PYTHON = re.compile(r"(?m)^# requires-python\s*=\s*[\"'](?:>=\s*(\d+)\.(\d+))?(.*)[\"']")
PROJECT_DEPENDENCIES = re.compile(r"(?m)^\s*dependencies\s*=")
UNCHANGED = "Would make no changes"


class DependencyError(AgentError):
    """The script's packages are not on the host and could not be installed."""


class DependencySource(Enum):
    """The place where a project declares its dependencies."""

    SCRIPT = "the script's own header"
    LOCK = "uv.lock"
    REQUIREMENTS = "requirements.txt"
    PROJECT = "pyproject.toml"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """A project's dependencies: where they are declared, and the files that declare them."""

    source: DependencySource
    files: tuple[Path, ...]

    def digest(self, python: str) -> str:
        """Return the name of an environment: a hash of all that decides its content."""
        whole = hashlib.sha256(f"{self.source.value}\0{os.path.realpath(python)}\0".encode())
        for path in self.files:
            whole.update(path.read_bytes() + b"\0")
        return whole.hexdigest()


def find_needs(code: Path, script: str) -> Needs | None:
    """Return where the project declares its dependencies; None when it declares none."""
    path = code / script
    if path.suffix == ".py" and SCRIPT_BLOCK.search(path.read_text(errors="replace")):
        return Needs(source=DependencySource.SCRIPT, files=(path,))
    project, lock, requirements = code / "pyproject.toml", code / "uv.lock", code / "requirements.txt"
    if lock.is_file() and project.is_file():
        return Needs(source=DependencySource.LOCK, files=(lock, project))
    if requirements.is_file():
        return Needs(source=DependencySource.REQUIREMENTS, files=(requirements,))
    if project.is_file() and PROJECT_DEPENDENCIES.search(project.read_text(errors="replace")):
        return Needs(source=DependencySource.PROJECT, files=(project,))
    return None


class Installer:
    """Installs a project's packages on the host.

    Args:
        environments: where environments are kept.
        python: the host's own Python.
        environ: the environment that the script will have; uv runs in it too.
        spool: the run's log.
        stopped: whether the run is to end meanwhile.
        clock: for the time limit.
    """

    def __init__(
        self,
        environments: Path,
        *,
        python: str,
        environ: Mapping[str, str],
        spool: Path,
        stopped: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._environments = environments
        self._python = python
        self._environ = dict(environ)
        self._spool = spool
        self._stopped = stopped
        self._clock = clock
        self._uv = shutil.which("uv", path=environ.get("PATH"))
        # As root under Systems Manager there may be no HOME for uv's cache.
        self._environ.setdefault("UV_CACHE_DIR", str(environments / "cache"))

    def install(self, needs: Needs, *, code: Path, script: str) -> str:
        """Return the Python that has the packages: the host's own, or that of an environment.

        Raises:
            DependencyError: they could not be installed; uv's output is in the log.
        """
        if self._uv is None:
            raise DependencyError(f"{needs.source.value} declares packages, but this host has no uv; {HINT}")
        if needs.source is not DependencySource.LOCK and self._is_satisfied(needs, code):
            return self._python
        if needs.source is DependencySource.SCRIPT:
            self._do(["sync", "--script", script], needs, code)
            return self._ask(["python", "find", "--script", script], code).strip()
        folder = self._environments / needs.digest(self._python)
        python, complete = folder / "bin/python", folder / ".complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            self._do(["venv", "--python", self._python, str(folder)], needs, code)
            self._do(self._filling(needs, python), needs, code, project=folder)
            complete.touch()
        return str(python)

    def _filling(self, needs: Needs, python: Path) -> list[str]:
        if needs.source is DependencySource.LOCK:
            # Without the project itself: an environment serves many runs, and each has its own code on PYTHONPATH.
            return ["sync", "--frozen", "--no-dev", "--no-install-project", "--python", self._python]
        return ["pip", "install", "--python", str(python), "--requirements", needs.files[0].name]

    def _is_satisfied(self, needs: Needs, code: Path) -> bool:
        if needs.source is DependencySource.SCRIPT and not self._is_new_enough(
            needs.files[0].read_text(errors="replace")
        ):
            return False  # uv compares packages, not the Python
        probe = ["pip", "install", "--dry-run", "--offline", "--break-system-packages", "--python", self._python]
        return UNCHANGED in self._ask([*probe, "--requirements", str(needs.files[0].relative_to(code))], code)

    def _is_new_enough(self, script: str) -> bool:
        """Return whether the script's header surely allows the host's own Python."""
        block = SCRIPT_BLOCK.search(script)
        found = REQUIRES_PYTHON.search(block.group()) if block else None
        if found is None:
            return True
        major, minor, more = found.groups()
        ask = "import sys; print(*sys.version_info[:2])"
        has = subprocess.run([self._python, "-c", ask], capture_output=True, text=True, check=False).stdout.split()
        return bool(major) and not more.strip() and [int(part) for part in has] >= [int(major), int(minor)]

    def _ask(self, words: Sequence[str], code: Path) -> str:
        """Run uv and return its output; empty when it refuses."""
        answer = subprocess.run(
            [str(self._uv), *words],
            cwd=code,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return answer.stdout + answer.stderr if "--dry-run" in words else answer.stdout

    def _do(self, words: Sequence[str], needs: Needs, code: Path, *, project: Path | None = None) -> None:
        """Run uv with its output in the run's log; end it when the run is stopped or it takes too long."""
        environ = self._environ | ({"UV_PROJECT_ENVIRONMENT": str(project)} if project else {})
        with self._spool.open("ab") as spool:
            process = subprocess.Popen(
                [str(self._uv), *words],
                cwd=code,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=spool,
                stderr=spool,
                start_new_session=True,
            )
        if self._is_too_slow(process):
            raise DependencyError(
                f"the packages of {needs.source.value} were not installed within {INSTALL_SECONDS / 60:g} minutes "
                f"(uv {words[0]}); {HINT}"
            )
        if process.returncode:
            raise DependencyError(
                f"the packages of {needs.source.value} could not be installed (uv {words[0]}: exit code "
                f"{process.returncode}; {_reason(self._spool)}); {HINT}"
            )

    def _is_too_slow(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for its end, or end it when the run is stopped or the time is over; returns whether it was too slow."""
        wait_until(
            lambda: process.poll() is not None or self._stopped(),
            seconds=INSTALL_SECONDS,
            every=POLL_SECONDS,
            clock=self._clock,
        )
        if process.poll() is not None:
            return False
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return not self._stopped()


def _reason(spool: Path) -> str:
    """Return uv's line about the error; hints that follow it are in the log."""
    lines = last_lines(spool)
    return next((line for line in lines if line.startswith("error")), lines[0] if lines else "no output")
