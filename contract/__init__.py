"""Defines the formats that laptop and host share, with nothing but the standard library of Python 3.10."""
