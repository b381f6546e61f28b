"""Reads the order that the laptop wrote, before anything is done about it."""

from __future__ import annotations

from collections.abc import Mapping

from agent.errors import SpecError
from contract.records import RecordError, RunSpec

# What people call a run is not the host's business, and no reason to refuse it.
LABELS = {"name", "tags", "project"}


def parse_spec(document: object) -> RunSpec:
    """Read a spec.

    Raises:
        SpecError: it is of another schema, or a field is missing or impossible; the message names the field.
    """
    if isinstance(document, Mapping):
        document = {name: value for name, value in document.items() if name not in LABELS}
    try:
        return RunSpec.from_mapping(document)
    except RecordError as error:
        raise SpecError(f"the run's spec: {error}") from error
