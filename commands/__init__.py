"""Defines the commands, one module per noun; heavy imports happen inside the functions."""
