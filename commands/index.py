"""Lists the commands by name; each is implemented in the module of its noun."""

from invoke.collection import Collection

from commands import checkpoint, host, local, resume, run, run_diff, shell, stack, status, sync, train
from commands.cli import invoke_program

runs_collection = Collection(run_diff.diff)
runs_collection.add_task(run.list_, default=True)  # `inv runs` too
sync_collection = Collection(sync.plan)
sync_collection.add_task(sync.send, default=True)  # `inv sync HOST` too

namespace = Collection(
    stack.up,
    stack.down,
    stack.preview,
    stack.outputs,
    train.train,
    run.monitor,
    status.status,
    host.hosts,
    host.start,
    host.stop,
    host.terminate,
    host.processes,
    shell.exec_,
    shell.ssh,
    shell.push,
    shell.pull,
    resume.resume,
    resume.cancel,
    checkpoint=Collection(
        checkpoint.list_, checkpoint.show, checkpoint.verify, checkpoint.pull, checkpoint.push, checkpoint.prune
    ),
    runs=runs_collection,
    sync=sync_collection,
    local=Collection(local.up, local.down, local.status, local.interrupt),
)
# The order and headings of the overview, by what the user is about to do.
GROUPS: dict[str, tuple[str, ...]] = {
    "Train and follow": ("train", "status", "monitor", "runs.list", "runs.diff", "resume", "cancel"),
    "Checkpoints": (
        "checkpoint.list",
        "checkpoint.show",
        "checkpoint.verify",
        "checkpoint.pull",
        "checkpoint.push",
        "checkpoint.prune",
    ),
    "Hosts": ("hosts", "start", "stop", "terminate", "processes"),
    "Code and files": ("sync.send", "sync.plan", "exec", "ssh", "push", "pull"),
    "Environment": ("up", "preview", "outputs", "down"),
    "Local cloud": ("local.up", "local.status", "local.interrupt", "local.down"),
}
invoke_program.speak(GROUPS)
