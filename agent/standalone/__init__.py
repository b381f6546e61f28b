"""Holds programs that run on a host as single files, before the agent is there."""
