"""Derives the names and tags of a stack's resources and keeps every name within its service's limit.

A name that is too long is cut and gets a digest of the whole name, so that two long names never become one short name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from contract import tags

ROLE_LIMIT = 64  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LAUNCH_TEMPLATE_LIMIT = 128
REPOSITORY_LIMIT = 256
# A bucket's name has 63 characters; Pulumi appends a hyphen and seven of its own to make it unique worldwide.
BUCKET_LIMIT = 55

TAG_KEY_LIMIT = 128  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
TAG_VALUE_LIMIT = 256
_DIGEST_LENGTH = 7


def stack_prefix(project: str, stack: str) -> str:
    """Return the prefix of all names of one stack: lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", f"{project}-{stack}".lower()).strip("-")


def fitted(name: str, limit: int) -> str:
    """Return `name` as it is if it has at most `limit` characters, else its beginning and a digest of all of it."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: limit - _DIGEST_LENGTH - 1].rstrip('-')}-{digest}"


def stack_tags(stack: str, owner: str, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that every resource of a stack carries; runctl's take precedence over the team's.

    Raises:
        ValueError: a tag of the team uses a reserved prefix or is longer than AWS allows.
    """
    for key, value in extra.items():
        if key.startswith((tags.NAMESPACE, "aws:")):
            raise ValueError(f"tag {key!r} uses a reserved prefix ({tags.NAMESPACE} or aws:)")
        if not 0 < len(key) <= TAG_KEY_LIMIT or len(value) > TAG_VALUE_LIMIT:
            raise ValueError(f"tag {key!r} is too long: {TAG_KEY_LIMIT} characters of key, {TAG_VALUE_LIMIT} of value")
    return {**extra, tags.STACK: stack, tags.OWNER: owner, tags.MANAGED_BY: "pulumi"}
