"""Carries commands and files to a host, over Systems Manager or SSH."""
