"""Sends a run's log, status and metrics to the bucket."""
