"""Implements Run Command: its API, documents and invocations."""
