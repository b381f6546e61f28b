"""Names the tags of a stack's resources, which the Pulumi program writes and the laptop reads."""

from __future__ import annotations

NAMESPACE = "runctl:"
STACK = "runctl:stack"
OWNER = "runctl:owner"
MANAGED_BY = "runctl:managed-by"
HOST = "runctl:host"
"""The declared worker that an instance or a volume belongs to."""
SSH_ADDRESS = "runctl:ssh-address"
SSH_USER = "runctl:ssh-user"
SSH_HOST_KEY = "runctl:ssh-host-key"
