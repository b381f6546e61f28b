"""The laptop's side of the local cloud: start it, find it, talk to it, stop it.

Commands that only want to know whether the cloud is up must be fast, so nothing heavy (moto, boto3, psutil) is
imported here before it is needed. The promises:

- Two simultaneous starts give one server. The server holds `server.lock` for its whole life; the kernel drops it when
  the process dies, however it dies, so a stale `address.json` or a reused process id never looks like a live cloud.
- `address.json` appears, by rename, only once the server answers.
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
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.errors import LocalCloudError, NotAnswering, PortTaken, Refused, StartFailed

ANSWER_SECONDS = 2.0
DYING_SECONDS = 1.0
"""A process that was killed answers no more, but holds its lock until its memory is gone."""
POLL_SECONDS = 0.02
STOP_SECONDS = 30.0
LOG_TAIL_BYTES = 2_000
FOREIGN = ("AWS_", "MOTO_", "LOCALCLOUD_TOKEN", "LOCALCLOUD_HOST", "HOST_ROOT")

# Servers outlive this process by design; kept so that Popen does not complain about them, and reaped by `stop`.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a running local cloud is; `started_at` is UTC in ISO 8601."""

    url: str
    pid: int
    port: int
    started_at: str
    state_dir: Path


def start(state_dir: Path, *, port: int = 0, ready_seconds: float = 30) -> tuple[Address, bool]:
    """Make sure that the cloud of `state_dir` is up; the bool says whether this call started it.

    Port 0 means the port of last time if it is free, else any. A cloud that is up keeps its port.

    Raises:
        PortTaken: the port asked for belongs to another program.
        NotAnswering: the cloud's process lives but does not answer.
        StartFailed: it did not become ready within `ready_seconds`.
    """
    state_dir = state_dir.absolute()
    state_dir.mkdir(parents=True, exist_ok=True)
    with _lock(state_dir / "start.lock"):
        found = find(state_dir)
        if found:
            return found, False
        if port:
            _refuse_taken(port)
        token = secrets.token_hex(16)
        process = _launch(state_dir, port, token)
        return _await_ready(state_dir, process, token, ready_seconds), True


def find(state_dir: Path) -> Address | None:
    """Where the cloud of `state_dir` is, or None when it is not up.

    Raises:
        NotAnswering: its process lives but does not answer within a few seconds.
    """
    state_dir = state_dir.absolute()
    record = _read_record(state_dir)
    if record is None or not _is_locked(state_dir / "server.lock"):
        return None
    try:
        health = _request(f"{record['url']}/_local/health", "GET", None, ANSWER_SECONDS)
    except (OSError, ValueError) as error:
        if _await_unlocked(state_dir, DYING_SECONDS):
            return None
        raise NotAnswering(
            f"the local cloud (process {record['pid']}, {record['url']}) does not answer: {error}",
            next_step=f"resume it (kill -CONT {record['pid']}) or end it with: inv local.down",
        ) from error
    if health.get("token") != record["token"]:
        return None
    return _address(record)


def stop(state_dir: Path) -> bool:
    """End every host's processes, then the server; False when there was nothing to stop.

    Asks first; a server that does not end within STOP_SECONDS is killed, and its hosts' processes after it.

    Raises:
        NotAnswering: something holds the state folder, but is not verifiably our server.
    """
    state_dir = state_dir.absolute()
    record = _read_record(state_dir)
    if record is None:
        return False
    if not _is_locked(state_dir / "server.lock"):
        return _clear_up(state_dir, record) > 0
    try:
        _request(f"{record['url']}/_local/shutdown", "POST", {"token": record["token"]}, ANSWER_SECONDS)
        ended = _await_unlocked(state_dir, STOP_SECONDS)
    except (OSError, ValueError):
        ended = False
    if not ended:
        _kill_verified(state_dir, record)
    _started[:] = [process for process in _started if process.poll() is None]
    return True


def call(address: Address, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to the control API (`/_local/...`).

    Raises:
        Refused: the control API said no; the message is its own.
        NotAnswering: there was no answer.
    """
    try:
        return _request(address.url + path, method, body, STOP_SECONDS)
    except urllib.error.HTTPError as error:
        answer = _json_or_empty(error.read())
        raise Refused(answer.get("message", str(error)), next_step=answer.get("next_step", "")) from error
    except (OSError, ValueError) as error:
        raise NotAnswering(f"{address.url} does not answer: {error}", next_step="inv local.status") from error


def _request(url: str, method: str, body: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
    # An empty ProxyHandler: loopback must not go through the proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310  the URL is our own server's
    request.add_header("Content-Type", "application/json")
    with opener.open(request, timeout=seconds) as response:
        answer = json.loads(response.read())
    if not isinstance(answer, dict):
        raise ValueError(f"{url} answered something that is not an object")  # noqa: TRY004  bad answer, not bad type
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
    # This program's own path and order, which need not be what PYTHONPATH and the working directory would make of it.
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
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        record = _read_record(state_dir)
        if record and record["token"] == token:
            return _address(record)
        if process.poll() is not None:
            raise StartFailed(
                f"the local cloud ended with code {process.returncode} before it was ready: {_log_tail(state_dir)}",
                next_step=f"read {state_dir / 'server.log'}",
            )
        time.sleep(POLL_SECONDS)
    process.kill()
    process.wait()
    raise StartFailed(
        f"the local cloud was not ready within {seconds:g} s: {_log_tail(state_dir)}",
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
    """Who listens on a port, as far as this user may know."""
    import psutil  # noqa: PLC0415  only needed to explain a failure

    try:
        connections = psutil.net_connections(kind="tcp")
        pids = [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr[1:] == (port,) and c.pid]
        return f" by process {pids[0]} ({psutil.Process(pids[0]).name()})" if pids else ""
    except psutil.Error:
        return ""


def _kill_verified(state_dir: Path, record: dict[str, Any]) -> None:
    from localcloud import processes  # noqa: PLC0415  psutil is only needed to kill

    if processes.is_server(record["pid"], record["created"], state_dir):
        os.kill(record["pid"], signal.SIGKILL)
    if not _await_unlocked(state_dir, ANSWER_SECONDS):
        raise NotAnswering(
            f"{state_dir} is in use, but process {record['pid']} is not its local cloud",
            next_step=f"find who holds {state_dir / 'server.lock'}",
        )
    _clear_up(state_dir, record)


def _clear_up(state_dir: Path, record: dict[str, Any]) -> int:
    """End what a server that was killed has left: its hosts' processes (how many), and its address."""
    from localcloud import processes  # noqa: PLC0415  psutil is only needed to kill

    (state_dir / "address.json").unlink(missing_ok=True)
    return processes.end(processes.Marker(token=record["state_id"]), grace_seconds=0)


def _await_unlocked(state_dir: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not _is_locked(state_dir / "server.lock"):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _read_record(state_dir: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((state_dir / "address.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise LocalCloudError(
            f"{state_dir / 'address.json'} is not readable: {error}", next_step="remove the file and try again"
        ) from error
    return record if isinstance(record, dict) else None


def _address(record: dict[str, Any]) -> Address:
    return Address(
        url=record["url"],
        pid=record["pid"],
        port=record["port"],
        started_at=record["started_at"],
        state_dir=Path(record["state_dir"]),
    )


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
