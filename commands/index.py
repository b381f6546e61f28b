"""The index of the commands: what each is called; what it does stands in the module of its noun."""

from invoke.collection import Collection

from commands import checkpoint, diff, hosts, local, resume, runs, shell, stack, status, sync, train, usage

usage.refuse_in_our_words()

runs_collection = Collection(diff.diff)
runs_collection.add_task(runs.list_, default=True)  # `inv runs` too
sync_collection = Collection(sync.plan)
sync_collection.add_task(sync.send, default=True)  # `inv sync HOST` too

namespace = Collection(
    stack.up,
    stack.down,
    stack.preview,
    stack.outputs,
    train.train,
    runs.monitor,
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
    runs=runs_collection,
    sync=sync_collection,
    local=Collection(local.up, local.down, local.status, local.interrupt),
)
