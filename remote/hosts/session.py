"""Builds the command line of a Session Manager shell."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from remote.errors import ConfigError, Unavailable
from remote.stack import Stack

PLUGIN = "session-manager-plugin"
INSTALL = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)


def session_argv(
    stack: Stack, instance_id: str, which: Callable[[str], str | None] = shutil.which, *, ssh: bool = False
) -> tuple[str, ...]:
    """Return the command line of a Session Manager session: a shell, or a connection to the host's SSH port.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-getting-started-enable-ssh-connections.html

    Raises:
        Unavailable: the stack is on the local cloud, which has no sessions.
        ConfigError: a program that it needs is not installed; it names it.
    """
    if stack.endpoint_url is not None:
        raise Unavailable(
            "the local cloud has no Session Manager sessions",
            next_step="inv exec HOST -- COMMAND, or the tag runctl:ssh-address for a host with its own SSH server",
        )
    for program in ("aws", PLUGIN):
        if which(program) is None:
            raise ConfigError(f"a Session Manager session needs {program}, which is not installed", next_step=INSTALL)
    document = ["--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=22"] if ssh else []
    region = ["--region", stack.outputs.region]
    return ("aws", "ssm", "start-session", "--target", instance_id, *document, *region)
