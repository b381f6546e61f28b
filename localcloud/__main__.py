"""`python -m localcloud --state DIR --port N`: the background process itself. The commands use localcloud.daemon."""

from __future__ import annotations

import os
import sys

from localcloud.errors import LocalCloudError
from localcloud.server import serve
from localcloud.settings import parse


def main() -> int:
    """Serve until told to stop; 69 (EX_UNAVAILABLE) when it cannot begin."""
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # a role can have AmazonSSMManagedInstanceCore, as on AWS
    try:
        serve(parse(sys.argv[1:], dict(os.environ)), dict(os.environ))
    except LocalCloudError as error:
        sys.stderr.write(f"{error.message}\n")
        return 69
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # all is saved and ended; taking a whole cloud of objects apart would only cost time
