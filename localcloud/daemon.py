"""Starts, finds, queries and stops the local cloud from the laptop's side.

Commands that only check whether the cloud is up must be fast, so nothing heavy (moto, boto3, psutil) is imported here
before it is needed. The promises:

- Two simultaneous starts make one server. The server holds `server.lock` for its whole life; the kernel drops it when
  the process dies, however it dies, so a stale `address.json` or a reused process id never looks like a live cloud.
- `address.json` appears, by rename, only once the server answers, and nothing depends on its fate after that: the
  server keeps the same record in the lock that it holds.
- A command waits for a busy cloud, and reports a cloud as stopped only when it is.
- Only a process that is verified to be this state folder's server is ever killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from localcloud.clock import Clock, wait_until
from localcloud.errors import NoAccess, NotAnswering, PortTaken, Refused, StartFailed
from localcloud.hosts import certificates
from localcloud.server.address import ADDRESS, LOCK, Address, AddressRecord, Lost, read_record

__all__ = ["Address", "Lost", "call", "find", "start", "stop"]

ANSWER_SECONDS = 2.0
BUSY_SECONDS = 30.0
TELL_SECONDS = 2.0
POLL_SECONDS = 0.02
STOP_SECONDS = 30.0
LOG_TAIL_BYTES = 2_000
FOREIGN = ("AWS_", "MOTO_", "LOCALCLOUD_TOKEN", "LOCALCLOUD_HOST", "HOST_ROOT")
NO_ACCESS = 77
"""The server's exit code (EX_NOPERM) when the system does not let it at its state folder."""
SILENT = (OSError, ValueError, HTTPException)
"""The errors of a missing answer, and of an answer that is not the cloud's."""

# Servers outlive this process by design; kept so that Popen does not complain about them, and reaped by `stop`.
_started: list[subprocess.Popen[bytes]] = []
Tell = Callable[[str], None]


def _tell_nobody(_line: str) -> None:
    return


def start(
    state_dir: Path, *, port: int = 0, ready_seconds: float = 30, tell: Tell = _tell_nobody
) -> tuple[Address, bool]:
    """Make sure that the cloud of `state_dir` is up; the bool says whether this call started it.

    Port 0 means the previous port if it is free, else any. A cloud that is up keeps its port.

    Raises:
        PortTaken: the requested port belongs to another program.
        NotAnswering: the cloud's process lives but does not answer.
        StartFailed: it did not become ready within `ready_seconds`.
        NoAccess: the system denies the cloud a file in its folder.
        OSError: the system denies this process the folder.
    """
    state_dir = state_dir.absolute()
    state_dir.mkdir(parents=True, exist_ok=True)
    with _lock(state_dir / "start.lock"):
        certificates.keep(state_dir, os.environ)
        found = find(state_dir, tell=tell)
        if found:
            return found, False
        if port:
            _refuse_taken(port)
        token = secrets.token_hex(16)
        process = _launch(state_dir, port, token)
        return _await_ready(state_dir, process, token, ready_seconds), True


def find(state_dir: Path, *, tell: Tell = _tell_nobody) -> Address | None:
    """Return where the cloud of `state_dir` is, or None when it is not up; wait for a busy one.

    Args:
        state_dir: the cloud's folder.
        tell: receives one line when the wait takes long.

    Raises:
        NotAnswering: its process is stopped, or lives but does not answer within BUSY_SECONDS.
        OSError: the system denies this process the folder.
    """
    state_dir = state_dir.absolute()
    patience = Patience(state_dir, tell)
    # A killed process no longer answers, but holds its lock until its memory is freed.
    while _is_locked(state_dir / LOCK) and (record := read_record(state_dir)):
        try:
            health = _request(f"{record.address.url}/_local/health", "GET", None, ANSWER_SECONDS)
        except SILENT as error:
            patience.wait(record, error)
        else:
            return record.address if health.get("token") == record.token else None
    return None


class Patience:
    """Waits for a cloud that does not answer, as long as it may only be busy.

    Args:
        state_dir: the cloud's folder.
        tell: is given one line after TELL_SECONDS.
        clock: whose time passes.
    """

    def __init__(
        self,
        state_dir: Path,
        tell: Tell,
        *,
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        self._state_dir = state_dir
        self._tell = tell
        self._clock = clock
        self._begun = self._clock.monotonic()
        self._told = False

    def wait(self, record: AddressRecord, error: BaseException) -> None:
        """Wait a moment after an unanswered request.

        Raises:
            NotAnswering: the process is stopped, or the time is over.
        """
        who = f"the local cloud (process {record.address.pid}, {record.address.url})"
        if _is_stopped(record, self._state_dir):
            raise NotAnswering(
                f"{who} is stopped and does not answer",
                next_step=f"resume it (kill -CONT {record.address.pid}) or end it with: inv local.down",
            ) from error
        passed = self._clock.monotonic() - self._begun
        if passed >= BUSY_SECONDS:
            raise NotAnswering(
                f"{who} is busy and does not answer within {BUSY_SECONDS:g} s: {error}",
                next_step="try again later, or end it with: inv local.down",
            ) from error
        if passed >= TELL_SECONDS and not self._told:
            self._told = True
            self._tell(f"{who} is busy; waiting up to {BUSY_SECONDS:g} s for its answer")
        self._clock.sleep(POLL_SECONDS)


def stop(state_dir: Path) -> bool:
    """End every host's processes, then the server; return False when there was nothing to stop.

    The server is asked first; if it does not end within STOP_SECONDS it is killed, and its hosts' processes after it.

    Raises:
        NotAnswering: a process holds the state folder, but is not verifiably its server.
        OSError: the system denies this process the folder.
    """
    state_dir = state_dir.absolute()
    record = read_record(state_dir)
    if not _is_locked(state_dir / LOCK):
        return record is not None and _clear_up(state_dir, record) > 0
    if record is None:
        _end_unrecorded(state_dir)
        return True
    patience = ANSWER_SECONDS if _is_stopped(record, state_dir) else STOP_SECONDS
    try:
        _request(f"{record.address.url}/_local/shutdown", "POST", {"token": record.token}, patience)
        ended = _await_unlocked(state_dir, STOP_SECONDS)
    except SILENT:
        ended = False
    if not ended:
        _kill_verified(state_dir, record)
    _started[:] = [process for process in _started if process.poll() is None]
    return True


def call(address: Address, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send one request to the control API (`/_local/...`).

    Raises:
        Refused: the control API refused; the message is its own.
        NotAnswering: there was no answer.
    """
    try:
        return _request(address.url + path, method, body, STOP_SECONDS)
    except urllib.error.HTTPError as error:
        answer = _json_or_empty(error.read())
        raise Refused(answer.get("message", str(error)), next_step=answer.get("next_step", "")) from error
    except SILENT as error:
        raise NotAnswering(
            f"the local cloud at {address.url} does not answer: {error}", next_step="inv local.up"
        ) from error


def _request(url: str, method: str, body: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
    # An empty ProxyHandler: loopback must not go through a proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310  the URL is the cloud's own
    request.add_header("Content-Type", "application/json")
    with opener.open(request, timeout=seconds) as response:
        answer = json.loads(response.read())
    if not isinstance(answer, dict):
        raise ValueError(f"the answer of {url} is not a JSON object")  # noqa: TRY004  bad answer, not bad type
    return answer


def _json_or_empty(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _launch(state_dir: Path, port: int, token: str) -> subprocess.Popen[bytes]:
    room = str(Path(__file__).resolve().parents[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # This program's own sys.path, which may differ from what PYTHONPATH and the working directory would produce.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (room, *sys.path)))
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    environment["LOCALCLOUD_SERVER_TOKEN"] = token
    # -P: a folder called `localcloud` in the caller's working directory must not shadow this one.
    argv = [sys.executable, "-P", "-m", "localcloud", "--state", str(state_dir), "--port", str(port)]
    with (state_dir / "server.log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=state_dir,
            env=environment,
            start_new_session=True,
        )
    _started.append(process)
    return process


def _await_ready(state_dir: Path, process: subprocess.Popen[bytes], token: str, seconds: float) -> Address:
    def ready() -> Address | None:
        record = read_record(state_dir)
        if record and record.token == token:
            return record.address
        if process.poll() is not None:
            raise _early_end(state_dir, process.returncode)
        return None

    if address := wait_until(ready, seconds=seconds, every=POLL_SECONDS):
        return address
    process.kill()
    process.wait()
    raise StartFailed(
        f"the local cloud was not ready within {seconds:g} s: {_log_tail(state_dir)}",
        next_step=f"read {state_dir / 'server.log'}",
    )


def _early_end(state_dir: Path, code: int) -> StartFailed | NoAccess | NotAnswering:
    if code == NO_ACCESS:
        return NoAccess(str(state_dir), _log_tail(state_dir))
    if _is_locked(state_dir / LOCK):
        return NotAnswering(
            f"{state_dir} is in use by a local cloud that does not say where it is",
            next_step="inv local.down ends it; then try again",
        )
    return StartFailed(
        f"the local cloud ended with code {code} before it was ready: {_log_tail(state_dir)}",
        next_step=f"read {state_dir / 'server.log'}",
    )


def _log_tail(state_dir: Path) -> str:
    data = (state_dir / "server.log").read_bytes()[-LOG_TAIL_BYTES:]
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"port {port} on 127.0.0.1 is taken{_holder(port)}",
                next_step="choose another port, or leave the port out to get a free one",
            ) from error


def _holder(port: int) -> str:
    """Return which process listens on a port, as far as this user may know."""
    import psutil  # noqa: PLC0415  only needed to explain a failure

    try:
        connections = psutil.net_connections(kind="tcp")
        pids = [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr[1:] == (port,) and c.pid]
        return f" by process {pids[0]} ({psutil.Process(pids[0]).name()})" if pids else ""
    except psutil.Error:
        return ""


def _is_stopped(record: AddressRecord, state_dir: Path) -> bool:
    from localcloud.hosts import processes  # noqa: PLC0415  psutil is only needed when something is wrong

    pid = record.address.pid
    return processes.is_stopped(pid) and processes.is_server(pid, record.created, state_dir)


def _kill_verified(state_dir: Path, record: AddressRecord) -> None:
    from localcloud.hosts import processes  # noqa: PLC0415  psutil is only needed to kill

    if processes.is_server(record.address.pid, record.created, state_dir):
        os.kill(record.address.pid, signal.SIGKILL)
    if not _await_unlocked(state_dir, ANSWER_SECONDS):
        raise NotAnswering(
            f"{state_dir} is in use, but process {record.address.pid} is not its local cloud",
            next_step=f"find who holds {state_dir / LOCK}",
        )
    _clear_up(state_dir, record)


def _end_unrecorded(state_dir: Path) -> None:
    """End a server that does not say where it is, because both records are broken or it is still starting.

    It is found by its command line; SIGTERM ends it cleanly, together with its hosts.
    """
    from localcloud.hosts import processes  # noqa: PLC0415  psutil is only needed to kill

    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, ANSWER_SECONDS)):
        for pid in processes.servers_of(state_dir):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if _await_unlocked(state_dir, seconds):
            (state_dir / ADDRESS).unlink(missing_ok=True)
            return
    raise NotAnswering(
        f"{state_dir} is in use, but not by its local cloud", next_step=f"find who holds {state_dir / LOCK}"
    )


def _clear_up(state_dir: Path, record: AddressRecord) -> int:
    """Clean up after a killed server: remove its address, end its hosts' processes and return their number."""
    from localcloud.hosts import processes  # noqa: PLC0415  psutil is only needed to kill

    (state_dir / ADDRESS).unlink(missing_ok=True)
    return processes.end(processes.Marker(token=record.state_id), grace_seconds=0)


def _await_unlocked(state_dir: Path, seconds: float) -> bool:
    return wait_until(lambda: not _is_locked(state_dir / LOCK), seconds=seconds, every=POLL_SECONDS)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
