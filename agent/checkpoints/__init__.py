"""Finds, judges and commits the files of the checkpoint folder."""
