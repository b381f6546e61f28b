"""Provides the console script `runctl`, which starts the commands of its checkout or of the copy in the wheel."""
