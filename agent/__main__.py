"""Parses the agent's command line and calls the modules beside this one.

- `start`: take the host and supervise an attempt, detached; one line of JSON, exit 0, or 75 when the host is busy
- `cancel`, `stop`: end a run of this host; JSON, exit 0, or 69 when it does not run here
- `recover`: after a crash or a reboot, bring every attempt that has begun here to its end; JSON, exit 0
- `processes`: list the busiest processes and the load of this host; JSON, exit 0
- `doctor`: check everything that a run needs of this host; JSON, exit 0 or 69
- `sync`: make a folder of this host a tree of the bucket; JSON, exit 0, 69, 73 or 77
- `supervise`: be the supervisor (for `start` to use)

Each command imports what only it needs: a run waits for `start`, which needs neither S3 nor the metadata.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.host.systemd import Systemd
from agent.lock import FileLock
from agent.paths import Layout
from agent.run.cancel import cancel
from agent.run.recover import recover
from agent.run.start import AgentReply, StartOrder, start
from contract.clock import Clock
from contract.code_manifest import DIGEST
from contract.exit_codes import OK, UNAVAILABLE
from contract.keys import RUN_ID

if TYPE_CHECKING:
    from agent.publish.bucket import ObjectStore
    from agent.run.publisher import Assignment

UNKNOWN_HOST = "unknown"

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str], *, environ: Mapping[str, str], program: Sequence[str]) -> int:
    """Carry out one command and return its exit code.

    Args:
        arguments: after the program's name.
        environ: the host's environment.
        program: the command line that runs this very agent, to start another one with.
    """
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    if apart := {"doctor": _doctor, "processes": _processes, "sync": _sync}.get(options.command):
        return apart(options, environ)
    layout = Layout.of(environ)
    systemd = Systemd(root=os.geteuid() == 0 and not environ.get("HOST_ROOT"))
    if options.command in {"cancel", "stop"}:
        return _print(cancel(options.run, layout=layout))
    if options.command == "recover":
        return _print(recover(layout=layout, program=program, refuse=partial(_refuse, environ), systemd=systemd))
    order = StartOrder(bucket=options.bucket, run=options.run, attempt=options.attempt, region=options.region)
    if options.command == "supervise":
        return _supervise(order, host_lock=options.host_lock, duty_lock=options.duty_lock, environ=environ)
    systemd.install_recovery(program, environ)
    refuse = partial(_refuse, environ, order)
    return _print(start(order, layout=layout, program=program, refuse=refuse, systemd=systemd))


def _doctor(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from agent.host.doctor import examine  # noqa: PLC0415  see the module's docstring

    report, healthy = examine(options.bucket, region=options.region, environ=environ)
    return _print(AgentReply(line=report, exit_code=OK if healthy else UNAVAILABLE))


def _processes(_: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from agent.host.processes import list_processes  # noqa: PLC0415  see the module's docstring

    return _print(AgentReply(line=list_processes(environ, clock=Clock()), exit_code=OK))


def _sync(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from agent.code.host_folder import LazyBucket, exit_code_of, sync  # noqa: PLC0415  see the module's docstring

    bucket = LazyBucket(options.bucket, partial(_bucket, options.bucket, options.region, environ))
    try:
        line = sync(bucket, options.digest, options.folder, environ=environ)
    except AgentError as error:
        sys.stderr.write(f"{error}\n")
        return exit_code_of(error)
    return _print(AgentReply(line=line, exit_code=OK))


def _supervise(order: StartOrder, *, host_lock: int | None, duty_lock: int, environ: Mapping[str, str]) -> int:
    from agent.host.imds import Metadata  # noqa: PLC0415  see the module's docstring
    from agent.run.stop import Stopper  # noqa: PLC0415
    from agent.run.supervisor import Supervisor  # noqa: PLC0415
    from contract.records import Cause  # noqa: PLC0415

    clock = Clock()
    stopper = Stopper(clock=clock)
    signal.signal(signal.SIGTERM, lambda *_: stopper.ask(Cause.STOPPED, "stopped on request"))
    duty = FileLock.inherited(duty_lock)
    supervisor = Supervisor(
        _assignment(order, environ),
        environ=environ,
        metadata=Metadata.of(environ),
        host_lock=FileLock.inherited(host_lock) if host_lock is not None else None,
        stopper=stopper,
        clock=clock,
    )
    try:
        supervisor.supervise()
    except AgentError as error:
        logger.error("run %s: %s", order.run, error)  # noqa: TRY400  the message has everything
        return UNAVAILABLE
    finally:
        duty.close()
    return OK


def _assignment(order: StartOrder, environ: Mapping[str, str]) -> Assignment:
    from agent.run.publisher import Assignment  # noqa: PLC0415
    from contract.keys import RunKeys  # noqa: PLC0415  see the module's docstring

    bucket = _bucket(order.bucket, order.region, environ)
    return Assignment(
        attempt=order.attempt,
        host=_host(order, bucket, environ),
        bucket=bucket,
        keys=RunKeys(run=order.run, number=order.attempt),
        layout=Layout.of(environ).run(order.run, order.attempt),
    )


def _refuse(environ: Mapping[str, str], order: StartOrder, detail: str) -> None:
    from agent.run.refusal import record_refusal  # noqa: PLC0415  see the module's docstring

    bucket = _bucket(order.bucket, order.region, environ)
    host = _host(order, bucket, environ)
    record_refusal(bucket, run=order.run, attempt=order.attempt, host=host, detail=detail, clock=Clock())


def _host(order: StartOrder, bucket: ObjectStore, environ: Mapping[str, str]) -> str:
    """Return the instance's id: from its own metadata, else from the spec."""
    from agent.host.imds import Metadata  # noqa: PLC0415
    from contract.keys import RunKeys  # noqa: PLC0415  see the module's docstring

    try:
        if found := Metadata.of(environ).find("instance-id"):
            return found
    except AgentError as error:
        logger.warning("%s", error)
    try:
        return str(bucket.read_json(RunKeys(run=order.run, number=order.attempt).spec)["host"]["instance_id"])
    except (AgentError, KeyError, TypeError) as error:
        logger.warning("the spec does not name the host: %s", error)
        return UNKNOWN_HOST


def _bucket(name: str, region: str | None, environ: Mapping[str, str]) -> ObjectStore:
    from agent.publish.bucket import ObjectStore  # noqa: PLC0415  see the module's docstring

    gc.disable()  # while boto3 is loaded: all of it stays, and searching it for garbage takes a tenth of the time
    try:
        return ObjectStore.connect(name, region=region, environ=environ)
    finally:
        gc.freeze()
        gc.enable()


def _print(answer: AgentReply) -> int:
    print(json.dumps(answer.line), flush=True)  # noqa: T201  a command's result goes to standard output
    return answer.exit_code


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(threadName)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _run_id(text: str) -> str:
    if not RUN_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid run id")
    return text


def _digest(text: str) -> str:
    if not DIGEST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid digest")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent.pyz", description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    examination = commands.add_parser("doctor")
    examination.add_argument("--bucket")
    examination.add_argument("--region")
    commands.add_parser("recover")
    commands.add_parser("processes")
    for name in ("cancel", "stop"):
        commands.add_parser(name).add_argument("--run", required=True, type=_run_id)
    synchronization = commands.add_parser("sync")
    synchronization.add_argument("--bucket", required=True)
    synchronization.add_argument("--region")
    synchronization.add_argument("--digest", required=True, type=_digest)
    synchronization.add_argument("--folder", required=True)
    for name in ("start", "supervise"):
        command = commands.add_parser(name)
        command.add_argument("--bucket", required=True)
        command.add_argument("--run", required=True, type=_run_id)
        command.add_argument("--attempt", required=True, type=int)
        command.add_argument("--region")
    command.add_argument("--host-lock", type=int, help="descriptor")
    command.add_argument("--duty-lock", type=int, required=True, help="descriptor")
    return parser


def run() -> int:
    """Run the command line of this process.

    The supervisor is started the way this very process was: from the bundle's directory on a host, by `-m` in a test.
    """
    arguments = sys.argv[1:]
    program = [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(arguments)]]
    return main(arguments, environ=os.environ, program=program)


if __name__ == "__main__":
    sys.exit(run())
