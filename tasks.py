"""The commands. This file is their index: what each does stands in `commands/`, one module per noun."""

from invoke.collection import Collection

from commands import checkpoint, hosts, local, resume, runs, shell, stack, status, train

namespace = Collection(
    stack.up,
    stack.down,
    stack.preview,
    stack.outputs,
    train.train,
    runs.monitor,
    runs.runs,
    status.status,
    hosts.hosts,
    hosts.start,
    hosts.stop,
    hosts.terminate,
    hosts.processes,
    shell.exec_,
    shell.ssh,
    shell.push,
    shell.pull,
    resume.resume,
    resume.cancel,
    checkpoint=Collection(
        checkpoint.list_, checkpoint.show, checkpoint.verify, checkpoint.pull, checkpoint.push, checkpoint.prune
    ),
    local=Collection(local.up, local.down, local.status, local.interrupt),
)
