"""Measurements side by side in one run: ratios, not single times, because machines differ and drift."""
