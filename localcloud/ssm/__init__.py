"""Run Command: documents, invocations and what runs them on a host."""
