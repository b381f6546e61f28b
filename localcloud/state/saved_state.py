"""Saves the cloud's state across a stop, and mostly across a crash.

moto has no persistence, so its backends are pickled as they are: quick (EC2 takes some 15 ms) and exact, but bound to
the versions that wrote them. It is a memory, not a format: a snapshot that other versions wrote, or that is not
readable, is put aside whole, and the cloud starts empty under a new generation and reports it.

The bytes of S3 objects are beside it, one file each, written once: the cost of a snapshot depends on the changes, not
on the stored bytes. The folder is as trusted as the program itself (a pickle can run code), so only its owner may
write there.
"""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import sys
import tempfile
import threading
import time
import types
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, cast

import dill
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.constants import MISSING
from moto.s3.models import FakeKey
from moto.s3.utils import _VersionedKeyStore
from moto.ssm.models import ParameterDict

from localcloud.state.aside import unused
from localcloud.state.rw_lock import Gate

FORMAT = 1
QUIET_SECONDS = 2.0
LONGEST_SECONDS = 15.0
POLL_SECONDS = 0.25
PACE = 20
"""After a snapshot that took t, at least PACE * t passes before the next one."""

# Older saved states name their functions by the modules of their time.
RENAMED = {"localcloud.snapshot": __name__}

log = logging.getLogger(__name__)

Backends = dict[tuple[str, str, str], Any]


class UnusableError(Exception):
    """The saved state cannot be restored; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Writes moto's state into a folder, and reads it back."""

    folder: Path

    def save(self, generation: str, extra: dict[str, Any]) -> None:
        """Write everything; the caller ensures that nothing changes meanwhile."""
        blobs = self.folder / "objects"
        blobs.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "snapshot.partial"
        with unfinished.open("wb") as file:
            file.write(json.dumps({**_versions(), "generation": generation}).encode() + b"\n")
            pickler = _Pickler(file, blobs)
            pickler.dump({"backends": _loaded(), "extra": extra})
        unfinished.replace(self.folder / "snapshot")
        for blob in blobs.iterdir():
            if blob.name not in pickler.blobs:
                blob.unlink()

    def load(self) -> tuple[str, dict[str, Any]] | None:
        """Restore the saved state into moto; return the generation and the extra, or None when nothing is saved.

        Raises:
            UnusableError: other versions wrote it, or it is damaged.
            PermissionError: the system does not let this user read it.
        """
        try:
            file = (self.folder / "snapshot").open("rb")
        except FileNotFoundError:
            return None
        try:
            with file:
                header = _readable(json.loads(file.readline()))
                content = _Unpickler(file, self.folder / "objects").load()
                backends, found = content["backends"].items(), (str(header["generation"]), content["extra"])
        except (UnusableError, PermissionError):
            raise
        except Exception as error:  # a pickle that is cut off or changed can fail in any way at all
            raise UnusableError(f"it is damaged ({type(error).__name__}: {error})") from error
        for (service, account, region), backend in backends:
            dict.__setitem__(get_backend(service)[account], region, backend)
        return found

    def put_aside(self) -> Path:
        """Move the saved state, with the objects' bytes, into a folder of its own beside it, and return that folder."""
        kept = unused(self.folder / "state")
        kept.mkdir()
        for name in ("snapshot", "objects"):
            if (self.folder / name).exists():
                (self.folder / name).rename(kept / name)
        return kept


class Saver:
    """Saves some seconds after the last change, and when asked.

    Args:
        extra: returns the state of the cloud's own layer, which is saved too.
    """

    def __init__(self, memory: Memory, gate: Gate, *, generation: str, extra: Any) -> None:
        self._memory = memory
        self._gate = gate
        self._generation = generation
        self._extra = extra
        self._saved = gate.changes
        self._not_before = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="saver", daemon=True)

    def start(self) -> None:
        """Start watching for changes."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching, and save one last time."""
        self._closing.set()
        self._thread.join()
        self.save()

    def save(self) -> None:
        """Save now; log a failure and try again after the next change."""
        began = time.monotonic()
        try:
            with self._gate.alone():
                changes = self._gate.changes
                self._memory.save(self._generation, self._extra())
        except Exception:  # the previous snapshot stays in place
            log.exception("the state could not be saved")
            changes = self._gate.changes
        self._saved = changes
        self._not_before = time.monotonic() + PACE * (time.monotonic() - began)

    def _loop(self) -> None:
        waiting_since = 0.0
        while not self._closing.wait(POLL_SECONDS):
            if self._gate.changes == self._saved:
                waiting_since = 0.0
                continue
            now = time.monotonic()
            waiting_since = waiting_since or now
            quiet = now - self._gate.changed_at >= QUIET_SECONDS or now - waiting_since >= LONGEST_SECONDS
            if quiet and now >= self._not_before:
                self.save()
                waiting_since = 0.0


def _versions() -> dict[str, Any]:
    return {"format": FORMAT, "moto": version("moto"), "python": list(sys.version_info[:2])}


def _readable(header: Any) -> dict[str, Any]:
    """Return the header of a snapshot that these versions wrote.

    Raises:
        UnusableError: other versions did.
    """
    if not isinstance(header, dict) or "format" not in header:
        raise UnusableError("it is damaged (its first line is not a header)")
    theirs, ours = ({name: of.get(name) for name in _versions()} for of in (header, _versions()))
    if theirs != ours:
        raise UnusableError(f"it was written by {_in_words(theirs)}, and this is {_in_words(ours)}")
    return header


def _in_words(versions: dict[str, Any]) -> str:
    python = versions["python"]
    dotted = ".".join(map(str, python)) if isinstance(python, list) else python
    return f"format {versions['format']}, moto {versions['moto']}, Python {dotted}"


def _loaded() -> Backends:
    """Return every backend in use, in one dictionary, so that shared objects stay shared.

    moto makes IAM for all of AWS's partitions at once, each with all managed policies; this cloud is in one of them.
    """
    used: list[Any] = list(cast("Any", BackendDict)._instances)  # noqa: SLF001  moto has no public list
    return {
        (backend.service_name, account, region): one
        for backend in used
        for account, region, one in backend.iter_backends()
        if not region.startswith("aws-")
    }


class _Pickler(pickle.Pickler):
    """Also pickles locks, local functions and ParameterDict, and writes S3 objects' bytes as files."""

    def __init__(self, file: IO[bytes], folder: Path) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._folder = folder
        self.blobs: set[str] = set()
        self._reducers: dict[type, Callable[[Any], Any]] = {
            type(threading.Lock()): lambda _: (threading.Lock, ()),
            type(threading.RLock()): lambda _: (threading.RLock, ()),
            types.FunctionType: self._function,
            ParameterDict: self._parameters,
            _VersionedKeyStore: self._versions,
            FakeKey: self._key,
            type(MISSING): lambda _: "MISSING",
        }

    def reducer_override(self, value: Any) -> Any:
        """Return the reduced form of a special object; pickle asks this hook first."""
        reduce = self._reducers.get(type(value))
        if reduce is None and isinstance(value, RSAPrivateKey | EllipticCurvePrivateKey):
            reduce = _reduce_key
        return reduce(value) if reduce else NotImplemented

    def _function(self, function: types.FunctionType) -> Any:
        return (dill.loads, (dill.dumps(function),)) if "<locals>" in function.__qualname__ else NotImplemented

    def _parameters(self, value: ParameterDict) -> Any:
        return ParameterDict, (value.account_id, value.region_name), value.__dict__, None, iter(value.items())

    def _versions(self, value: _VersionedKeyStore) -> Any:
        """Reduce without items(), which shows only the newest version of each key; restoring bypasses it too."""
        versions = {key: dict.__getitem__(value, key) for key in dict.keys(value)}
        return _VersionedKeyStore, (), versions, None, None, dict.update

    def _key(self, key: FakeKey) -> Any:
        return object.__new__, (FakeKey,), self._key_state(key), None, None, restore_key

    def _key_state(self, key: FakeKey) -> dict[str, Any]:
        state = {name: value for name, value in key.__dict__.items() if name not in ("_value_buffer", "lock")}
        return {**state, "blob": self._store(key)}

    def _store(self, key: FakeKey) -> str:
        """Return the name of the file with the object's bytes, which is written first if it does not exist."""
        buffer: Any = key._value_buffer  # noqa: SLF001  the only way to the bytes without a copy in memory
        name: str = getattr(buffer, "localcloud_blob", "")
        if not name or not (self._folder / name).exists():
            name = uuid.uuid4().hex
            with key.lock, (self._folder / name).open("wb") as file:
                if not buffer.closed:  # an object that was deleted while something still refers to it
                    buffer.seek(0)
                    shutil.copyfileobj(buffer, file)
            buffer.localcloud_blob = name
        self.blobs.add(name)
        return name


def _reduce_key(key: RSAPrivateKey | EllipticCurvePrivateKey) -> Any:
    """Reduce a KMS key to plain bytes: it exists for an encrypted volume and protects nothing here."""
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return load_key, (plain,)


def load_key(plain: bytes) -> Any:
    """Return a KMS key from its bytes; this wrapper exists because pickle cannot name cryptography's own function."""
    return load_der_private_key(plain, password=None)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], folder: Path) -> None:
        super().__init__(file)
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        """Return the object of a name; only now the folder with the objects' bytes is known."""
        module = RENAMED.get(module, module)
        if (module, name) == (restore_key.__module__, restore_key.__qualname__):
            return partial(restore_key, folder=self._folder)
        return super().find_class(module, name)


def restore_key(key: FakeKey, state: dict[str, Any], *, folder: Path) -> None:
    """Restore the fields and the bytes of an S3 object."""
    blob = state.pop("blob")
    key.__dict__.update(state)
    key.lock = threading.Lock()
    buffer: Any = tempfile.SpooledTemporaryFile(max_size=key._max_buffer_size)  # noqa: SIM115, SLF001  moto closes it
    with (folder / blob).open("rb") as file:
        shutil.copyfileobj(file, buffer)
    buffer.localcloud_blob = blob
    key._value_buffer = buffer  # noqa: SLF001
