"""Assembles the parts of the background process, serves them on 127.0.0.1, and ends them in order.

The cloud keeps everything in its state folder: `identity.json` (its identity and last port), `server.lock` (held while
it lives) and `address.json` (both with its current address), `server.log`, `snapshot` and `objects/` (its saved state),
and below it `hosts/` and `ssm/`.
"""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import os
import secrets
import signal
import socket
import threading
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from localcloud.clock import wait_until
from localcloud.ec2.api import Ec2
from localcloud.ec2.spot import Interruptions
from localcloud.errors import LocalCloudError
from localcloud.hosts import certificates, processes
from localcloud.hosts.executor import ProcessExecutor
from localcloud.hosts.reconciler import Hosts
from localcloud.internal_clients import Clients
from localcloud.server.address import ADDRESS, LOCK, Address, AddressRecord, Lost, write_lock
from localcloud.server.control import CallCounter, Control
from localcloud.server.dispatch import Dispatch
from localcloud.server.settings import CloudSettings
from localcloud.ssm.api import RunCommand
from localcloud.state.files import atomic_write
from localcloud.state.moto_models import MotoState
from localcloud.state.rw_lock import Gate
from localcloud.state.saved_state import Memory, Saver, UnusableError

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.05
LOCK_SECONDS = 20.0

log = logging.getLogger(__name__)


class Server:
    """One local cloud, from its start to its end.

    Args:
        settings: the command line.
        token: the token that a shutdown must name.
        lock: the lock file, open and held, in which the server records its address.
    """

    def __init__(self, settings: CloudSettings, *, token: str, lock: int) -> None:
        self._settings = settings
        self._lock = lock
        self._folder = settings.state_dir
        self._token = token
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._memory = Memory(folder=self._folder)
        self._stopping = threading.Event()
        self._identity = _identity(self._folder)
        self._http = _listen(settings.port or self._identity["port"], fall_back=not settings.port)
        self.url = f"http://{LOOPBACK}:{self._http.port}"
        self._lost: Lost | None = None
        self._generation, extra = self._restore()
        self._assemble(extra)

    def run(self) -> None:
        """Serve until told to stop; return when every host's processes have ended."""
        arguments = {"poll_interval": POLL_SECONDS}
        thread = threading.Thread(target=self._http.serve_forever, kwargs=arguments, name="http", daemon=True)
        thread.start()
        ended = processes.end(processes.Marker(token=self._identity["state_id"]), grace_seconds=0)
        if ended:
            log.warning("ended %d processes that an earlier server had left behind", ended)
        self._hosts.start()
        self._saver.start()
        self._announce()
        gc.freeze()  # the objects of the start live to the end, and need not be scanned again and again
        gc.enable()
        self._stopping.wait()
        log.info("stopping")
        write_lock(self._lock, None)
        (self._folder / ADDRESS).unlink(missing_ok=True)
        self._hosts.close()
        processes.end(processes.Marker(token=self._identity["state_id"]), grace_seconds=0)
        self._http.shutdown()
        self._http.server_close()
        self._saver.close()
        log.info("stopped")

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping.set()

    def health(self) -> dict[str, Any]:
        """Return the identity, version and generation of this server."""
        return {
            "pid": os.getpid(),
            "state_dir": str(self._folder),
            "token": self._token,
            "version": version("runctl"),
            "started_at": self._started_at,
            "generation": self._generation,
        }

    def _restore(self) -> tuple[str, dict[str, Any]]:
        """Return the saved state of an earlier server, or start a new one."""
        try:
            restored = self._memory.load()
        except UnusableError as error:
            kept = self._memory.put_aside()
            self._lost = Lost(reason=str(error), path=str(kept))
            log.warning("the saved state cannot be used: %s; it is put aside as %s; starting empty", error, kept)
            restored = None
        return restored or (secrets.token_hex(8), {})

    def _assemble(self, extra: dict[str, Any]) -> None:
        """Make the parts and connect them; `extra` is an earlier server's saved state beside moto's."""
        settings, state_id = self._settings, self._identity["state_id"]
        moto = self._gate = Gate(DomainDispatcherApplication(create_backend_app))
        clients = Clients(moto, region=settings.region)
        state = MotoState(region=settings.region)
        executor = ProcessExecutor(
            self._folder / "hosts",
            token=state_id,
            cloud_url=self.url,
            region=settings.region,
            trusted=partial(certificates.read, self._folder),
        )
        calls = CallCounter()
        self._hosts = Hosts(
            clients=clients, state=state, executor=executor, region=settings.region, delays=settings.delays
        )
        ec2 = Ec2(
            moto=moto,
            clients=clients,
            state=state,
            hosts=self._hosts,
            delayed=settings.delays.any,
            tokens=extra.get("tokens", {}),
        )
        self._saver = Saver(self._memory, self._gate, generation=self._generation, extra=lambda: {"tokens": ec2.tokens})
        self._http.app = Dispatch(
            moto=moto,
            ec2=ec2,
            ssm=RunCommand(clients=clients, executor=executor, fleet=self._hosts, folder=self._folder / "ssm"),
            control_api=self._control(calls, Interruptions(clients=clients, hosts=self._hosts, state=state)),
            calls=calls,
        )

    def _control(self, calls: CallCounter, interruptions: Interruptions) -> Control:
        return Control(
            health=self.health, calls=calls, hosts=self._hosts, interruptions=interruptions, shut_down=self.stop
        )

    def _announce(self) -> None:
        """Publish the address, now that the server answers."""
        address = Address(
            url=self.url,
            pid=os.getpid(),
            port=self._http.port,
            started_at=self._started_at,
            state_dir=self._folder,
            lost=self._lost,
        )
        created = psutil.Process().create_time()
        record = AddressRecord(address=address, token=self._token, state_id=self._identity["state_id"], created=created)
        _write_json(self._folder / "identity.json", {**self._identity, "port": self._http.port})
        write_lock(self._lock, record)
        atomic_write(self._folder / ADDRESS, record.to_json())
        log.info("ready at %s", self.url)


def serve(settings: CloudSettings, environment: dict[str, str]) -> None:
    """Run a server to its end while holding the state folder's lock; SIGTERM and SIGINT end it cleanly."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    settings.state_dir.chmod(0o700)  # a snapshot is as trusted as a program
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("werkzeug", "botocore", "boto3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    lock = _hold(settings.state_dir / LOCK)
    server = Server(settings, token=environment.get("LOCALCLOUD_SERVER_TOKEN") or secrets.token_hex(16), lock=lock)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server.run()


def _hold(path: Path) -> int:
    """Take the lock for life, clear an earlier server's record, and return the open file.

    Waits a little, because a `find` holds the lock for an instant.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # never closed: the kernel does, at the end
    if not wait_until(lambda: _is_taken(file), seconds=LOCK_SECONDS, every=POLL_SECONDS):
        raise LocalCloudError(f"{path} is held by another local cloud")
    write_lock(file, None)
    return file


def _is_taken(file: int) -> bool:
    """Take the lock if it is free; whether this process has it now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _listen(port: int, *, fall_back: bool) -> BaseWSGIServer:
    """Listen on a port of 127.0.0.1, or on any when it is taken and `fall_back` allows that."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        if not fall_back:
            raise LocalCloudError(f"port {port} on {LOOPBACK} cannot be used: {error}") from error
        listener.bind((LOOPBACK, 0))
    listener.listen(1024)
    # make_server takes a copy of the descriptor. The application is set once its parts know the address.
    with listener:
        return make_server(
            LOOPBACK, listener.getsockname()[1], _not_yet, threaded=True, request_handler=MotoRequestHandler,
            fd=listener.fileno(),
        )  # fmt: skip


def _not_yet(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("503 Service Unavailable", [("Content-Length", "0")])
    return [b""]


def _identity(folder: Path) -> dict[str, Any]:
    """Return this cloud's identity, created once and kept for the life of the state folder."""
    try:
        identity: dict[str, Any] = json.loads((folder / "identity.json").read_bytes())
    except FileNotFoundError:
        identity = {"state_id": secrets.token_hex(8), "port": 0}
        _write_json(folder / "identity.json", identity)
    return identity


def _write_json(path: Path, value: dict[str, Any]) -> None:
    atomic_write(path, json.dumps(value, indent=2).encode())
