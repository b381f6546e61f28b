"""Turns the parameters of AWS-RunShellScript into a script.

https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-command-ssm-plugin-reference.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from localcloud.ssm.invocation import ShellScript
from localcloud.wsgi import AwsError

RUN_SHELL_SCRIPT = "AWS-RunShellScript"
PARAMETERS = ("commands", "workingDirectory", "executionTimeout")
DEFAULT_TIMEOUT_SECONDS = 3_600
MAX_TIMEOUT_SECONDS = 172_800


def script_of(document: str, parameters: Mapping[str, Sequence[str]]) -> ShellScript:
    """Return the script of a document and its parameters; AwsError when AWS would refuse them."""
    if document.removeprefix("arn:aws:ssm:us-east-1::document/") != RUN_SHELL_SCRIPT:
        raise AwsError("InvalidDocument", f"Document with name {document} does not exist.")
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise AwsError("InvalidParameters", f"Parameters {unknown} are not defined by the document.")
    commands = parameters.get("commands")
    if not commands:
        raise AwsError("InvalidParameters", "Parameter commands is required.")
    return ShellScript(
        text="\n".join(commands),
        directory=_first(parameters, "workingDirectory", ""),
        timeout_seconds=_timeout(_first(parameters, "executionTimeout", "")),
    )


def _first(parameters: Mapping[str, Sequence[str]], name: str, default: str) -> str:
    values = parameters.get(name) or [default]
    return values[0]


def _timeout(text: str) -> int:
    if not text:
        return DEFAULT_TIMEOUT_SECONDS
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_TIMEOUT_SECONDS):
        raise AwsError("InvalidParameters", f"executionTimeout {text!r} is not 1 to {MAX_TIMEOUT_SECONDS} seconds.")
    return int(text)
