"""Reads the agent's bundle, which every host fetches, and names it by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from contract.keys import agent_key
from infra.settings import SettingsError


@dataclass(frozen=True, kw_only=True)
class AgentFile:
    """The agent's bundle as the program read it; `digest` is the SHA-256 of its bytes, in hex."""

    path: Path
    digest: str

    @property
    def key(self) -> str:
        """Return the object's key: content-addressed, so a host can verify that it fetched the deployed bundle."""
        return agent_key(self.digest)


def read_agent_file(path: Path) -> AgentFile:
    """Read the agent's bundle and name it by its content.

    Raises:
        SettingsError: the file is missing; the message says how to build it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the agent's file cannot be read: {path} ({error.strerror}); build it with `inv up`, or set agentBundle"
        ) from error
    return AgentFile(path=path, digest=hashlib.sha256(content).hexdigest())
