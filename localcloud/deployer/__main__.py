"""Entry point of the deployer's process: `python -m localcloud.deployer PIPE_FD`, its job on standard input."""

import sys

from localcloud.deployer.worker import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
