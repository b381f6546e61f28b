"""Hands Invoke the commands, which are listed in commands/index.py."""

from commands.cli import process

process.prepare()

from commands.index import namespace  # noqa: E402  it takes a while, in which Ctrl-C has to be quiet already

__all__ = ["namespace"]
