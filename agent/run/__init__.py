"""Supervises one attempt, from the order to the outcome."""
