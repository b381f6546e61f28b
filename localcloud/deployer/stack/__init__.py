"""Keeps, repairs and clears the state of a stack."""
