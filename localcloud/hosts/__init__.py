"""Keeps real hosts in line with EC2's instances, and provides their metadata and credentials."""
