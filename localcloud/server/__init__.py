"""The cloud's process: it serves, dispatches, and is controlled from outside."""
