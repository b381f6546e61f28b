"""The objects of a stack's bucket, read and removed behind the back of the command line."""

from __future__ import annotations

from localcloud import daemon
from tests.support.cli import Cli
from tests.support.cloud import client


def newest(project: Cli) -> str:
    return str(project("runs", "--json").json["items"][0]["run"])


def keys(cli: Cli, prefix: str) -> list[str]:
    address = daemon.find(cli.state / "local")
    assert address is not None
    bucket = cli("outputs", "--json").json["outputs"]["bucket"]
    listed = client(address, "s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for item in listed.get("Contents", [])]


def delete(cli: Cli, names: list[str]) -> None:
    address = daemon.find(cli.state / "local")
    assert address is not None
    bucket = cli("outputs", "--json").json["outputs"]["bucket"]
    for name in names:
        client(address, "s3").delete_object(Bucket=bucket, Key=name)


def where(stack: Cli) -> tuple[daemon.Address, str]:
    address = daemon.find(stack.state / "local")
    assert address is not None
    return address, stack("outputs", "--json").json["outputs"]["bucket"]
