"""`python -m runctl` is the console script."""

from runctl.launcher import main

main()
