"""Runs the background process, `python -m localcloud --state DIR --port N`; commands use localcloud.daemon instead."""

from __future__ import annotations

import gc
import os
import sys

from localcloud.daemon import NO_ACCESS
from localcloud.errors import LocalCloudError
from localcloud.internal_clients import share_descriptions
from localcloud.server.settings import parse


def main() -> int:
    """Serve until told to stop; 69 (EX_UNAVAILABLE) when it cannot begin, 77 (EX_NOPERM) when it may not."""
    gc.disable()  # until it is up: none of the loaded objects is garbage, and collecting takes a fifth of the start
    share_descriptions()
    from localcloud.server.server import serve  # noqa: PLC0415  moto, which takes most of the time

    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # for AmazonSSMManagedInstanceCore, as on AWS
    try:
        serve(parse(sys.argv[1:], dict(os.environ)), dict(os.environ))
    except LocalCloudError as error:
        sys.stderr.write(f"{error.message}\n")
        return 69
    except PermissionError as error:
        sys.stderr.write(f"{error.strerror}: {error.filename}\n")
        return NO_ACCESS
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # everything is saved and ended; destroying a whole cloud of objects would only cost time
