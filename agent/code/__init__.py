"""Brings a run's code onto the host and verifies it."""
