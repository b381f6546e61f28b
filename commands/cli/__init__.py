"""Implements the command line itself: the task decorator, output, help and parse errors, but no single command."""
