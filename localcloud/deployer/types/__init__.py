"""Lists the resource types that the embedded deployer knows, by their Pulumi token.

Their scope is `infra/`: a type is here because that program declares it, with the properties that it sets there, and a
test fails for any other. A program that declares more needs more here, or the Pulumi CLI.
"""

from __future__ import annotations

from collections.abc import Mapping

from localcloud.deployer.errors import UnknownType
from localcloud.deployer.types import ebs, ec2, ecr, iam, s3
from localcloud.deployer.types.base import ResourceType

KNOWN: Mapping[str, ResourceType] = {
    kind.pulumi_type: kind() for module in (iam, s3, ecr, ec2, ebs) for kind in module.TYPES
}


def type_of(token: str, types: Mapping[str, ResourceType] = KNOWN) -> ResourceType:
    """Return the type for a token such as `aws:s3/bucket:Bucket`.

    Raises:
        UnknownType: the local cloud has no such type.
    """
    try:
        return types[token]
    except KeyError:
        raise UnknownType(
            f"the local cloud cannot make {token}",
            next_step="describe it in localcloud/deployer/types/, or deploy to a real account",
        ) from None
