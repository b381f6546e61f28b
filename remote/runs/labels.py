"""Reads and checks the name and the tags of a run, before anything is done about them.

A name is looked for wherever a run is named, so it can be taken neither for a run id nor for `latest`. A tag is one
that EC2 would take too, so that it can become the tag of a host or a line of a bill.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from contract.keys import LATEST, RUN_ID
from contract.records import is_run_name
from remote.errors import UsageError

TAG_KEY = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
RESERVED = "aws:"  # EC2 keeps these keys for itself, in capitals too
VALUE_CHARACTERS = 256
MOST_TAGS = 50
NEXT_NAME = "inv train --name baseline-2"
NEXT_TAG = "inv train --tag team=vision"


def read_name(text: str) -> str | None:
    """Return the name of a run as it was typed, None when none was.

    Raises:
        UsageError: it is not a name that a run can have.
    """
    if not text:
        return None
    if RUN_ID.fullmatch(text) or text.lower() == LATEST:
        meaning = "the newest run" if text.lower() == LATEST else "a run's id"
        raise UsageError(f"--name: {text!r} always means {meaning}, so it cannot be a name", next_step=NEXT_NAME)
    if not is_run_name(text):
        raise UsageError(
            f"--name: {text!r} is not a name: it has 1 to 63 letters, digits, '.', '_' or '-', "
            "and begins with a letter or a digit",
            next_step=NEXT_NAME,
        )
    return text


def read_tags(words: Iterable[str], *, next_step: str = NEXT_TAG) -> dict[str, str]:
    """Read tags as they were typed, each `KEY=VALUE`.

    Raises:
        UsageError: one of them is not a tag, a key comes with two values, or there are too many.
    """
    tags: dict[str, str] = {}
    for word in words:
        key, value = _read_tag(word, next_step)
        if tags.setdefault(key, value) != value:
            raise UsageError(f"--tag: {key} is given as {tags[key]!r} and as {value!r}", next_step=next_step)
    return require_few(tags)


def require_few(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags if a run can have so many.

    Raises:
        UsageError: there are too many.
    """
    if len(tags) > MOST_TAGS:
        raise UsageError(f"--tag: a run has at most {MOST_TAGS} tags, not {len(tags)}", next_step=NEXT_TAG)
    return dict(tags)


def _read_tag(word: str, next_step: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"--tag: {word!r} is not KEY=VALUE", next_step=next_step)
    if not TAG_KEY.fullmatch(key) or key.lower().startswith(RESERVED):
        raise UsageError(
            f"--tag: {key!r} is not a key: it has 1 to 128 letters, digits, '.', '_', '-', ':' or '/', "
            f"and does not begin with {RESERVED}",
            next_step=next_step,
        )
    if len(value) > VALUE_CHARACTERS or not value.isprintable():
        raise UsageError(
            f"--tag: the value of {key} is not at most {VALUE_CHARACTERS} printable characters", next_step=next_step
        )
    return key, value
