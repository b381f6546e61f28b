"""SSH by Fabric: how a command or a file reaches a host without Systems Manager, or by choice.

One connection per transport. The host must show a key that is pinned (`remote.transport.host_keys`); neither the user's
known_hosts nor their ssh configuration is asked, so the answer is the same on every laptop. Where no port is open the
connection goes through a gateway, a program that carries it on its standard input and output: Session Manager.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shlex
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from contract.clock import Clock
from contract.exit_codes import TIMED_OUT
from remote.errors import CannotCreate, Error, InputMissing, PermissionDenied, Unavailable, UsageError
from remote.progress import NO_PROGRESS, Progress
from remote.transport.base import PACK_THERE, CommandResult, HostCommand, Transfer
from remote.transport.files import SourceFile, damaged, landing, read_source, target_of
from remote.transport.host_keys import HostKey, fingerprint

CONNECT_SECONDS = 15
KEEP_ALIVE_SECONDS = 30
POLL_SECONDS = 0.01
LINGER_SECONDS = 1.0  # for output that a child left behind still holds open, once the command has ended
BLOCK_BYTES = 1 << 16
NO_PROGRAM = 127
LARGEST_NAME = 255  # of one part of a path, on every file system of Linux
# The login shell, whatever it is, sees three plain words. `timeout` ends all that the command started; the shell
# around it makes 128 + n of a signal, which SSH would report apart and paramiko not at all.
WRAPPER = 'timeout -k 5 "$1" sh -c -- "$0"; exit $?'

# paramiko logs what it also raises, with tracebacks; without a handler Python would print them.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where and as whom a host is reached by SSH.

    Args:
        host: what to call it in messages, e.g. `trainer (i-0a1b)`.
        address: a name or address; with a gateway only a name for it.
        port: usually 22.
        user: who to log in as.
        keys: the host keys that are accepted, the preferred one first; never empty.
        identity: a private key's file; None takes the SSH agent and the usual files.
        gateway: argv of a program whose standard input and output are the connection; empty connects straight.
    """

    host: str
    address: str
    user: str
    keys: tuple[HostKey, ...]
    port: int = 22
    identity: Path | None = None
    gateway: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`user@address:port`, for messages."""
        return f"{self.user}@{self.address}:{self.port}"


def client_argv(endpoint: Endpoint, known_hosts: Path, alias: str) -> list[str]:
    """Return the OpenSSH client's command line for an interactive session, which trusts the same pinned keys only.

    Raises:
        InputMissing: the private key is not there; the client would go on with others.
    """
    _require_identity(endpoint)
    options = [
        f"HostKeyAlias={alias}",
        f'UserKnownHostsFile="{known_hosts}"',
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        *(["IdentitiesOnly=yes"] if endpoint.identity else []),
        *([f"ProxyCommand={shlex.join(endpoint.gateway)}"] if endpoint.gateway else []),
    ]
    identity = ["-i", str(endpoint.identity)] if endpoint.identity else []
    words = [word for option in options for word in ("-o", option)]
    return ["ssh", *words, *identity, "-p", str(endpoint.port), "-l", endpoint.user, "--", endpoint.address]


class SshTransport:
    """Commands to, and files for, one host over one SSH connection, made when it is first needed.

    Args:
        endpoint: where.
        clock: measures time-outs and waits between two polls for output.
    """

    name = "ssh"

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Clock = Clock(),  # noqa: B008  it has no state
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._connection: Any = None
        self._tunnel: Tunnel | None = None

    def run(self, command: HostCommand) -> CommandResult:
        """Run a command to its end; see `Transport.run`."""
        out, err = BytesIO(), BytesIO()
        begin = self._clock.monotonic()
        code = self.stream(command, out, err)
        timed_out = code == TIMED_OUT and self._clock.monotonic() - begin >= command.timeout_seconds
        status = "TimedOut" if timed_out else "Failed" if code else "Success"
        said = [stream.getvalue().decode(errors="replace") for stream in (out, err)]
        return CommandResult(status=status, exit_code=code, stdout=said[0], stderr=said[1])

    def stream(self, command: HostCommand, out: BinaryIO, err: BinaryIO) -> int:
        """Run a command and hand on its output as it comes; see `Transport.stream`.

        Fabric's own runner decodes what it reads and looks ten times a second, so the channel is used underneath it.
        Ctrl-C here closes the channel; the command ends when it next writes.
        """
        words = ["sh", "-c", WRAPPER, command.text, f"{command.timeout_seconds:f}"]
        with self._explained("the connection"):
            channel = self._open().create_session()
            try:
                channel.exec_command(os.fsencode(shlex.join(words)))
                channel.shutdown_write()
                self._pump(channel, out, err)
                code = int(channel.recv_exit_status()) if channel.exit_status_ready() else -1
            finally:
                channel.close()
        if code < 0:
            raise Unavailable(f"{self._endpoint.host}: the connection ended before the command", next_step="inv status")
        return code

    def put(self, local: Path, remote: str, progress: Progress = NO_PROGRESS) -> Transfer:
        """Copy a file to the host; see `Transport.put`."""
        source = read_source(local)
        with self._explained(remote):
            sftp = self._open().sftp()
            target = self._target(sftp, remote, local.name)
            draft = str(PurePosixPath(target).with_name(f".{local.name}.{secrets.token_hex(4)}.part"))
            try:
                sftp.put(str(local), draft, callback=_counting(progress), confirm=False)
                self._verify(draft, source, target)
                sftp.chmod(draft, source.mode)
                sftp.posix_rename(draft, target)
            except BaseException:
                _forget(sftp, draft)
                raise
            return Transfer(path=sftp.normalize(target), bytes=source.bytes, sha256=source.sha256)

    def get(self, remote: str, local: Path, progress: Progress = NO_PROGRESS) -> Transfer:
        """Copy a file from the host; see `Transport.get`."""
        with self._explained(remote):
            sftp = self._open().sftp()
            facts = sftp.stat(remote)
            if stat.S_ISDIR(facts.st_mode or 0):
                raise UsageError(
                    f"{remote} on {self._endpoint.host} is a folder; one file at a time", next_step=PACK_THERE
                )
            digest = self._hash(remote)
        target = target_of(local, remote)
        with landing(target, digest) as stream, self._explained(remote):
            sftp.getfo(remote, stream, callback=_counting(progress))
        return Transfer(path=str(target), bytes=target.stat().st_size, sha256=digest)

    def close(self) -> None:
        """End the connection and its gateway."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    def _target(self, sftp: Any, remote: str, name: str) -> str:
        path = remote or "."
        if path.endswith("/") or _is_folder(sftp, path):
            path = f"{path.rstrip('/')}/{name}"
        folder = str(PurePosixPath(path).parent)
        if not _is_folder(sftp, folder):
            raise InputMissing(f"there is no folder {folder} on {self._endpoint.host}")
        return path

    def _verify(self, draft: str, source: SourceFile, target: str) -> None:
        found = self._hash(draft)
        if found != source.sha256:
            raise damaged(f"{target} on {self._endpoint.host}", source.sha256, found)

    def _hash(self, path: str) -> str:
        result = self.run(HostCommand(script=f"sha256sum < {shlex.quote(path)}", title="hash"))
        if result.exit_code == NO_PROGRAM:
            raise Unavailable(f"{self._endpoint.host} has no sha256sum: {result.last_words}")
        if result.exit_code:
            raise PermissionDenied(f"{path} on {self._endpoint.host} cannot be read: {result.last_words}")
        return result.stdout.split()[0]

    def _pump(self, channel: Any, out: BinaryIO, err: BinaryIO) -> None:
        """Hand on output until both ends have said all: the end is looked at first, or its last words would be lost."""
        ended_at = None
        while True:
            exited = channel.exit_status_ready()
            over = channel.closed or (exited and channel.eof_received)
            moved = _move(channel.recv_ready, channel.recv, out)
            moved = _move(channel.recv_stderr_ready, channel.recv_stderr, err) or moved
            if moved:
                ended_at = None
                continue
            if over or (ended_at is not None and self._clock.monotonic() - ended_at > LINGER_SECONDS):
                return
            if exited and ended_at is None:
                ended_at = self._clock.monotonic()
            self._clock.sleep(POLL_SECONDS)

    def _open(self) -> Any:
        if self._connection is None:
            connection = self._prepared()
            try:
                connection.open()
            except BaseException:
                connection.client.close()
                raise
            connection.transport.set_keepalive(KEEP_ALIVE_SECONDS)
            self._connection = connection
        return self._connection

    def _prepared(self) -> Any:
        """Return a Fabric connection that accepts only this host's keys and reads nobody's configuration."""
        from fabric import Config, Connection  # noqa: PLC0415  0.2 s that other transports need not pay
        from paramiko import PKey, RejectPolicy, SSHConfig  # noqa: PLC0415

        end = self._endpoint
        _require_identity(end)
        login: dict[str, Any] = {"banner_timeout": CONNECT_SECONDS, "auth_timeout": CONNECT_SECONDS}
        if end.identity:
            login |= {"key_filename": str(end.identity), "look_for_keys": False, "allow_agent": False}
        if end.gateway:
            self._tunnel = Tunnel(end.gateway)
            login["sock"] = self._tunnel.socket
        connection = Connection(
            end.address,
            user=end.user,
            port=end.port,
            config=Config(ssh_config=SSHConfig(), lazy=True),
            connect_timeout=CONNECT_SECONDS,
            connect_kwargs=login,
        )
        connection.client.set_missing_host_key_policy(RejectPolicy())
        known = end.address if end.port == 22 else f"[{end.address}]:{end.port}"  # noqa: PLR2004  SSH's own port
        for key in end.keys:
            connection.client.get_host_keys().add(known, key.kind, PKey.from_type_string(key.kind, key.bytes))
        return connection

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Say in our words what Fabric, paramiko and the far end's file system raise."""
        from paramiko.ssh_exception import (  # noqa: PLC0415  as in _prepared
            AuthenticationException,
            BadHostKeyException,
            NoValidConnectionsError,
            SSHException,
        )

        try:
            yield
        except BrokenPipeError:  # the reader of our output went away, which is no fault of the host
            raise
        except BadHostKeyException as error:
            raise self._changed(error.key.asbytes(), error.expected_key.asbytes()) from error
        except AuthenticationException as error:
            raise self._refused(str(error)) from error
        except SSHException as error:
            if "No authentication methods" in str(error):
                raise self._refused("there is no key to try") from error
            raise self._unreachable(str(error)) from error
        except (NoValidConnectionsError, ConnectionError, TimeoutError, EOFError, socket.gaierror) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        except OSError as error:
            raise self._failed(error, path) from error

    def _changed(self, shown: bytes, pinned: bytes) -> Error:
        return PermissionDenied(
            f"{self._endpoint.host} at {self._endpoint.label} shows another host key than the one that is pinned: "
            f"{fingerprint(shown)}, not {fingerprint(pinned)}; nothing was sent",
            next_step="find out why; if it is right, set the instance's tag runctl:ssh-host-key to the new key",
        )

    def _refused(self, why: str) -> Error:
        tried = f"the key {self._endpoint.identity}" if self._endpoint.identity else "the SSH agent and ~/.ssh"
        return PermissionDenied(
            f"{self._endpoint.host} does not let {self._endpoint.label} in with {tried}: {why.rstrip('.')}",
            next_step="--identity FILE, or ssh-add FILE",
        )

    def _unreachable(self, why: str) -> Error:
        said = self._tunnel.last_words if self._tunnel else ""
        return Unavailable(
            f"{self._endpoint.host} does not answer SSH at {self._endpoint.label}: {said or why}",
            next_step="inv status",
        )

    def _failed(self, error: OSError, path: str) -> Error:
        place = f"{path} on {self._endpoint.host}"
        if error.errno == errno.ENOENT:
            return InputMissing(f"there is no {place}")
        if error.errno in {errno.EACCES, errno.EPERM}:
            return PermissionDenied(f"{place}: permission denied")
        if any(len(part) > LARGEST_NAME for part in os.fsencode(path).split(b"/")):  # "Bad message", says OpenSSH
            return UsageError(f"{place}: a name may have {LARGEST_NAME} bytes", next_step="a shorter one")
        return CannotCreate(f"{place}: {error.strerror or error}")


class Tunnel:
    """A program that carries a connection, behind a real socket.

    paramiko's own ProxyCommand spins at the program's end and drops what it said; a socket pair just closes.
    """

    def __init__(self, argv: tuple[str, ...]) -> None:
        self.socket, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        with theirs:
            try:
                self._process = subprocess.Popen(argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._said)
            except OSError as error:
                self.socket.close()
                self._said.close()
                raise Unavailable(f"{argv[0]} cannot be started: {error.strerror}", next_step="inv status") from error

    @property
    def last_words(self) -> str:
        """What the program said last on its standard error."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """End the program."""
        self.socket.close()
        self._process.terminate()
        self._process.wait()
        self._said.close()


def _require_identity(endpoint: Endpoint) -> None:
    if endpoint.identity and not endpoint.identity.is_file():
        raise InputMissing(f"there is no private key {endpoint.identity}", next_step="--identity FILE")


def _move(ready: Callable[[], bool], read: Callable[[int], bytes], sink: BinaryIO) -> bool:
    if not ready():
        return False
    sink.write(read(BLOCK_BYTES))
    sink.flush()
    return True


def _counting(progress: Progress) -> Callable[[int, int], None]:
    """Return what paramiko calls with the bytes so far and in all, telling the progress what is new."""
    last = 0

    def count(done: int, total: int) -> None:
        nonlocal last
        progress.expect(total)
        progress.add(done - last)
        last = done

    return count


def _is_folder(sftp: Any, path: str) -> bool:
    try:
        return stat.S_ISDIR(sftp.stat(path).st_mode or 0)
    except FileNotFoundError:
        return False


def _forget(sftp: Any, path: str) -> None:
    try:
        sftp.remove(path)
    except (OSError, EOFError):  # it was never made, or the connection is gone
        logging.getLogger(__name__).debug("%s was not removed", path)
