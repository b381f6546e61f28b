"""Makes the agent's one file, `agent.pyz`, from the installed packages: no network, the same bytes every time.

It is a zip that Python runs. botocore opens its data files and certificates by path and so cannot run from inside a
zip; the file unpacks itself once beside itself, into a directory named by its own SHA-256, and runs from there. Of
boto3 and what it needs, only what the agent calls is taken: S3, STS, their endpoints, the certificates, the licences.

`python -m remote.agent_bundle build/agent.pyz` builds it; a file that is up to date is left alone within milliseconds.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from contract.files import atomic_write

logger = logging.getLogger(__name__)

CHECKOUT = Path(__file__).parents[1]
PACKAGED = ("agent", "contract")
# Distribution -> the package or module it installs.
PACKAGES = {
    "boto3": "boto3",
    "botocore": "botocore",
    "s3transfer": "s3transfer",
    "jmespath": "jmespath",
    "python-dateutil": "dateutil",
    "urllib3": "urllib3",
    "six": "six",
}
SERVICES = ("s3", "sts")
BOTOCORE_DATA = ("_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json")
LEFT_OUT = (
    "boto3/data/",
    "boto3/examples/",
    "dateutil/zoneinfo/",
    "urllib3/contrib/emscripten/",
)
LICENCES = ("LICENSE", "NOTICE", "COPYING")
ROOT = "site"
# The oldest time a zip can hold; any fixed one would do.
EPOCH = (1980, 1, 1, 0, 0, 0)
LARGEST_BYTES = 5 << 20

# Runs from inside the zip, so with whatever Python 3.10 or newer the host has, and before anything of ours is there.
UNPACKER = '''\
"""Unpacks this file beside itself, once, and runs what was unpacked. Made by remote/agent_bundle.py."""
import hashlib, os, shutil, sys, zipfile

def unpacked(pyz):
    with open(pyz, "rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    target = os.path.join(os.path.dirname(pyz), digest)
    if not os.path.isdir(target):
        partial = "%s.%d.partial" % (target, os.getpid())
        with zipfile.ZipFile(pyz) as archive:
            archive.extractall(partial)
        os.sync()  # a host that loses power now must not keep a directory of empty files under the good name
        try:
            os.rename(partial, target)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not os.path.isdir(target):
                raise
    return os.path.join(target, "site")

if sys.version_info < (3, 10):
    sys.exit("runctl: Python 3.10 or newer is needed; this is " + sys.version.split()[0])
try:
    site = unpacked(os.path.abspath(sys.argv[0]))
except OSError as error:
    sys.stderr.write("runctl: the agent cannot be unpacked: %s\\n" % error)
    sys.exit(69)
# -I -S: nothing on the host, in its environment or in the current directory gets between the agent and its packages.
os.execv(sys.executable, [sys.executable, "-I", "-S", "-X", "utf8", site, *sys.argv[1:]])
'''
ENTRY = '''\
"""Runs the agent from the directory it was unpacked into. Made by remote/agent_bundle.py."""
import sys

from agent.__main__ import run

sys.exit(run())
'''


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The agent's file: where it lies, the SHA-256 of its bytes in hex, its length in bytes."""

    path: Path
    digest: str
    size: int


def build(target: Path) -> Bundle:
    """Make `target` the agent of the present sources and packages; nothing is written when it is that already.

    Raises:
        RuntimeError: a package is not installed, or the file would be larger than 5 MiB.
    """
    stamp = target.with_name(f"{target.name}.json")
    fingerprint = _fingerprint()
    if found := _up_to_date(target, stamp, fingerprint):
        return found
    body = _archive(_contents())
    if len(body) > LARGEST_BYTES:
        raise RuntimeError(f"the agent would have {len(body)} bytes, more than {LARGEST_BYTES}: what came in?")
    digest = hashlib.sha256(body).hexdigest()
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(target, body, durable=False)
    atomic_write(stamp, json.dumps({"fingerprint": fingerprint, "digest": digest}).encode(), durable=False)
    logger.info("built %s: %d bytes, %s", target, len(body), digest)
    return Bundle(path=target, digest=digest, size=len(body))


def _up_to_date(target: Path, stamp: Path, fingerprint: str) -> Bundle | None:
    try:
        said = json.loads(stamp.read_bytes())
        body = target.read_bytes()
    except (OSError, ValueError):
        return None
    digest = hashlib.sha256(body).hexdigest()
    if said != {"fingerprint": fingerprint, "digest": digest}:
        return None
    return Bundle(path=target, digest=digest, size=len(body))


def _fingerprint() -> str:
    """Return a hash of all that the file depends on: our sources, this one included, and the packages' versions."""
    whole = hashlib.sha256()
    whole.update(Path(__file__).read_bytes())
    for path in _agent_sources():
        whole.update(str(path.relative_to(CHECKOUT)).encode() + b"\0" + path.read_bytes() + b"\0")
    for distribution in sorted(PACKAGES):
        whole.update(f"{distribution} {_version(distribution)}\0".encode())
    return whole.hexdigest()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError as error:
        raise RuntimeError(f"the agent needs {distribution}, which is not installed here") from error


def _agent_sources() -> list[Path]:
    return sorted(path for package in PACKAGED for path in (CHECKOUT / package).rglob("*.py"))


def _contents() -> dict[str, bytes]:
    contents = {"__main__.py": UNPACKER.encode(), f"{ROOT}/__main__.py": ENTRY.encode()}
    for path in _agent_sources():
        contents[f"{ROOT}/{path.relative_to(CHECKOUT).as_posix()}"] = path.read_bytes()
    for distribution, package in PACKAGES.items():
        for name, path in _package_files(package):
            contents[f"{ROOT}/{name}"] = path.read_bytes()
        for name, path in _licences(distribution):
            contents[f"licences/{distribution}/{name}"] = path.read_bytes()
    return contents


def _package_files(package: str) -> Iterator[tuple[str, Path]]:
    spec = find_spec(package)  # finds a top-level package without importing it
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the agent needs {package}, which is not installed here")
    origin = Path(spec.origin)
    if origin.name != "__init__.py":
        yield origin.name, origin
        return
    for path in origin.parent.rglob("*"):
        name = path.relative_to(origin.parent.parent).as_posix()
        if path.is_file() and _is_needed(name):
            yield name, path


def _is_needed(name: str) -> bool:
    if name.startswith("botocore/data/"):
        part = name.removeprefix("botocore/data/")
        return part in BOTOCORE_DATA or (part.startswith(tuple(f"{s}/" for s in SERVICES)) and "examples" not in part)
    return name.endswith((".py", "cacert.pem")) and not name.startswith(LEFT_OUT)


def _licences(distribution: str) -> Iterator[tuple[str, Path]]:
    for file in metadata.distribution(distribution).files or ():
        if ".dist-info" in str(file) and file.name.upper().startswith(LICENCES):
            yield file.name, Path(str(file.locate()))


def _archive(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever this laptop is
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, contents[name])
    return buffer.getvalue()


def main(arguments: list[str]) -> int:
    """`python -m remote.agent_bundle TARGET`: build, and say what came of it."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m remote.agent_bundle TARGET\n")
        return 64
    bundle = build(Path(arguments[0]))
    sys.stdout.write(f"{bundle.path}  {bundle.size} bytes  {bundle.digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
