"""Asks the host about itself, its metadata, load, processes and spot notices."""
