"""Runs the cloud's process: serves and dispatches requests, and answers the control API."""
