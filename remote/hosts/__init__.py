"""Finds hosts, reaches them, and changes their power state."""
