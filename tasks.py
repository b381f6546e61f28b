"""Invoke looks for its commands here; they are listed in commands/index.py."""

from commands.index import namespace

__all__ = ["namespace"]
