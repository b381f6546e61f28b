"""Starts the deployer's process: `python -m localcloud.deployer PIPE_FD`, with its job on standard input."""

import gc
import sys

if __name__ == "__main__":
    # Collect garbage ten times less often: a program imports some thousand modules of its providers, which stay.
    gc.set_threshold(50_000, 20, 20)
    from localcloud.deployer.worker import main

    sys.exit(main(int(sys.argv[1])))
