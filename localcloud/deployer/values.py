"""Converts property values from the form in which Pulumi's SDK sends them: floats, and marks for secrets and assets.

The state keeps values as they were sent, marks and all; resource types work on plain values. The marks are those of
Pulumi's wire protocol: https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  the mark of a secret, not one
ASSET = "c44067f5952c0a294b673a41bacd8c17"
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
HIDDEN = "[secret]"


def plain(value: Any) -> Any:
    """Remove secret marks and resource references, turn whole floats into ints, and add a file asset's digest."""
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def secret(value: Any) -> dict[str, Any]:
    """Mark `value` secret, once."""
    if isinstance(value, Mapping) and value.get(SIGNATURE) == SECRET:
        return dict(value)
    return {SIGNATURE: SECRET, "value": value}


def has_secret(value: Any) -> bool:
    """Return whether a secret is anywhere inside `value`."""
    if isinstance(value, Mapping):
        return value.get(SIGNATURE) == SECRET or any(map(has_secret, value.values()))
    return isinstance(value, list) and any(map(has_secret, value))


def has_unknown(value: Any) -> bool:
    """Return whether something inside `value` is not known before the deployment."""
    if isinstance(value, Mapping):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return bool(value == UNKNOWN)


def mark_secrets(outputs: Mapping[str, Any], secret_keys: Iterable[str]) -> dict[str, Any]:
    """Return the outputs with these keys marked secret, so that the values derived from them stay secret."""
    marked = set(secret_keys)
    return {key: secret(value) if key in marked else value for key, value in outputs.items()}


def hidden(value: Any) -> Any:
    """Return `value` with every secret in it replaced by `[secret]`."""
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET:
            return HIDDEN
        return {key: hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden(item) for item in value]
    return value


def _plain_mapping(value: Mapping[str, Any]) -> Any:
    kind = value.get(SIGNATURE)
    if kind == SECRET:
        return plain(value["value"])
    if kind == RESOURCE:
        return value.get("id") or value["urn"]
    if kind == ASSET:
        return _asset(value)
    return {key: plain(item) for key, item in value.items()}


def _asset(value: Mapping[str, Any]) -> dict[str, str]:
    # The path says where to read, the digest whether it changed; of a text, as of a file, only the digest is compared.
    if "path" in value:
        path = Path(value["path"])
        return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    text = str(value.get("text", ""))
    return {"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
