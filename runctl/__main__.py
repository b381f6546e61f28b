"""Runs the console script for `python -m runctl`."""

from runctl.launcher import main

main()
