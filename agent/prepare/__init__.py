"""Prepares an attempt: packages, checkpoint, environment."""
