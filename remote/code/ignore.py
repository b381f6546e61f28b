"""Ignore rules in gitignore syntax, for what git is not there to answer: `.runctlignore`, and trees outside git.

Promises git's own reading of a rule, byte for byte (https://git-scm.com/docs/gitignore and git's wildmatch.c): a test
holds it against `git check-ignore` on random trees. pathspec was tried: it matches a file through its folders in one
step, which differs from git where a later rule takes a folder back in; and it would be one more package.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

NEVER = re.compile(rb"(?!)")
WILDCARD = re.compile(rb"[*?\[\\]")
CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, (*range(32), 127))),
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": string.whitespace,
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of an ignore file; `source` and `line` say where it stands."""

    regex: re.Pattern[bytes]
    negated: bool
    only_folders: bool
    by_name: bool
    text: bytes
    source: str
    line: int

    def matches(self, path: bytes, *, folder: bool) -> bool:
        """Return whether the rule speaks of this entry itself; `path` is relative to the rule's folder."""
        if self.only_folders and not folder:
            return False
        return self.regex.fullmatch(path.rpartition(b"/")[2] if self.by_name else path) is not None

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.text.decode(errors='replace')}"


class IgnoreFiles:
    """The rules of a tree: ignore files in any of its folders, over the defaults given.

    As in git the last rule that matches wins, deeper files come later, and below an ignored folder nothing is looked
    at any more, so nothing there can be taken back in.
    """

    def __init__(self, root: bytes, names: tuple[str, ...], defaults: tuple[Rule, ...] = ()) -> None:
        self._root = root
        self._names = names
        self._defaults = defaults
        self._rules: dict[bytes, tuple[Rule, ...]] = {}
        self._folders: dict[bytes, Rule | None] = {b"": None}

    def rule_against(self, path: bytes, *, folder: bool) -> Rule | None:
        """Return the rule that leaves this entry, or a folder above it, out; None when it stays."""
        parent = path.rpartition(b"/")[0]
        if parent not in self._folders:
            self._folders[parent] = self.rule_against(parent, folder=True)
        above = self._folders[parent]
        return above or self._own_rule(path, folder=folder)

    def _own_rule(self, path: bytes, *, folder: bool) -> Rule | None:
        for place in _upwards(path):
            relative = path[len(place) + 1 :] if place else path
            for rule in reversed(self._rules_of(place)):
                if rule.matches(relative, folder=folder):
                    return None if rule.negated else rule
        return None

    def _rules_of(self, place: bytes) -> tuple[Rule, ...]:
        if place not in self._rules:
            read = (rule for name in self._names for rule in self._read(place, name))
            self._rules[place] = (*(() if place else self._defaults), *read)
        return self._rules[place]

    def _read(self, place: bytes, name: str) -> tuple[Rule, ...]:
        source = place + b"/" * bool(place) + name.encode()
        try:
            # As in git, an ignore file that is a link is not followed: it could lead out of the tree.
            descriptor = os.open(self._root + b"/" + source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                return parse(file.read(), os.fsdecode(source))
        except PermissionError:
            raise  # without its rules too much would travel
        except OSError:
            return ()


def parse(content: bytes, source: str) -> tuple[Rule, ...]:
    """Read an ignore file; lines that say nothing, or that git cannot read either, match nothing."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rules = (_rule(line.removesuffix(b"\r"), source, number) for number, line in enumerate(lines, start=1))
    return tuple(rule for rule in rules if rule)


def _upwards(path: bytes) -> Iterator[bytes]:
    """Return the folders an entry lies in, from its own to the top, which is empty."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _rule(line: bytes, source: str, number: int) -> Rule | None:
    text = _without_trailing_spaces(line)
    if not text or text.startswith(b"#"):
        return None
    pattern = text.removeprefix(b"!")
    only_folders = pattern.endswith(b"/")
    pattern = pattern[:-1] if only_folders else pattern
    return Rule(
        regex=_regex(pattern.removeprefix(b"/")),
        negated=text.startswith(b"!"),
        only_folders=only_folders,
        by_name=b"/" not in pattern,
        text=text,
        source=source,
        line=number,
    )


def _without_trailing_spaces(line: bytes) -> bytes:
    kept = line.rstrip(b" ")
    backslashes = len(kept) - len(kept.rstrip(b"\\"))
    return kept + b" " if len(kept) < len(line) and backslashes % 2 else kept


def _regex(pattern: bytes) -> re.Pattern[bytes]:
    # git compares what stands before the first wildcard by itself, so that `a**/b` reads as `a` and then `**/b`.
    literal = WILDCARD.split(pattern, maxsplit=1)[0]
    try:
        return re.compile(re.escape(literal) + b"".join(_translate(pattern[len(literal) :])), re.DOTALL)
    except IndexError:  # a class that is never closed, or a backslash at the very end: git matches nothing
        return NEVER


def _translate(pattern: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(pattern):
        character = pattern[at : at + 1]
        if character == b"*":
            end = at + len(pattern[at:]) - len(pattern[at:].lstrip(b"*"))
            yield _stars(pattern, at, end)
            # `**/` may stand for no folder at all, so its slash belongs to it.
            at = end + 1 if _crosses(pattern, at, end) and pattern[end : end + 1] == b"/" else end
        elif character == b"[":
            accepted, at = _character_class(pattern, at + 1)
            yield b"[" + b"".join(re.escape(bytes([value])) for value in accepted) + b"]" if accepted else b"(?!)"
        else:
            at += character == b"\\"
            yield b"[^/]" if character == b"?" else re.escape(bytes([pattern[at]]))
            at += 1


def _crosses(pattern: bytes, start: int, end: int) -> bool:
    """Return whether these stars are two or more and fill a whole part, so that they match across folders."""
    return end - start > 1 and pattern[start - 1 : start] in {b"", b"/"} and pattern[end : end + 1] in {b"", b"/"}


def _stars(pattern: bytes, start: int, end: int) -> bytes:
    if not _crosses(pattern, start, end):
        return b"[^/]*"
    return b".*" if end == len(pattern) else b"(?:.*/)?"


def _character_class(pattern: bytes, at: int) -> tuple[list[int], int]:
    """Return the bytes that a class accepts, and the index behind it. `at` is behind its `[`."""
    negated = pattern[at] in b"!^"
    at += negated
    accepted: set[int] = set()
    previous, first = 0, True
    while first or pattern[at] != ord("]"):
        first = False
        values, previous, at = _class_item(pattern, at, previous)
        accepted |= values
    every = set(range(1, 256)) - {ord("/")}
    return sorted(every - accepted if negated else every & accepted), at + 1


def _class_item(pattern: bytes, at: int, previous: int) -> tuple[set[int], int, int]:
    """Return a class's next item: the bytes it accepts, the start of a range (or 0), and the index after it."""
    value = pattern[at]
    if value == ord("-") and previous and pattern[at + 1] != ord("]"):
        at += 1 + (pattern[at + 1] == ord("\\"))
        return set(range(previous, pattern[at] + 1)), 0, at + 1
    if pattern[at : at + 2] == b"[:":
        end = pattern.index(b"]", at + 2) if b"]" in pattern[at + 2 :] else len(pattern)
        name = pattern[at + 2 : end]
        if end == len(pattern) or (name.endswith(b":") and name[:-1] not in CLASSES):
            raise IndexError
        if name.endswith(b":"):
            return set(CLASSES[name[:-1]].encode()), 0, end + 1
    at += value == ord("\\")
    return {pattern[at]}, pattern[at], at + 1
