"""Lists the exit codes of runctl itself, those of BSD sysexits.h; a followed run ends with its script's own."""

OK = 0
USAGE = 64  # the command line cannot be carried out as typed
INPUT_MISSING = 66  # a file, run, checkpoint or host that was named is not there
UNAVAILABLE = 69  # a host or service is not in a state to help
BUG = 70  # a bug of runctl's, or nothing more exact is known
CANNOT_CREATE = 73  # something could not be created
INTERRUPTED = 75  # stopped before its end; the same work can be resumed
PERMISSION = 77  # AWS or the system refused
CONFIG = 78  # configuration or a stack's outputs are wrong
TIMED_OUT = 124  # a command took longer than it may, as timeout(1) says it
CTRL_C = 130
BROKEN_PIPE = 141
