"""Prepares an attempt's packages, checkpoint and environment."""
