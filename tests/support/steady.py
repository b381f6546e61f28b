"""A run that saves after every step, and what has come of it."""

from __future__ import annotations

from typing import Any

from localcloud import daemon
from tests.support.cli import Cli
from tests.support.cloud import client, until

# One step every 30 ms with a checkpoint each, to `--steps`; on SIGTERM it takes and saves one step more and leaves.
# After `--rest` steps it waits for that SIGTERM: an upload every 30 ms would keep a processor busy for nothing.
STEADY = """
import argparse, json, os, pathlib, signal, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=10**6)
parser.add_argument("--rest", type=int, default=0)
parser.add_argument("--resume-from", default="")
options = parser.parse_args()
folder = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
leaving = []
signal.signal(signal.SIGTERM, lambda *_: leaving.append(1))
step = begin = json.loads(pathlib.Path(options.resume_from).read_text())["step"] if options.resume_from else 0
print(f"begin after step {step}", flush=True)
while step < options.steps:
    step += 1
    draft = folder / ".draft"
    draft.write_text(json.dumps({"step": step}))
    draft.replace(folder / f"step_{step}.json")
    with open(os.environ["RUNCTL_METRICS_FILE"], "a") as metrics:
        metrics.write(json.dumps({"step": step, "steps": options.steps}) + "\\n")
    print(f"step {step}", flush=True)
    if leaving:
        break
    time.sleep(0.03)
    while step - begin == options.rest and step < options.steps and not leaving:
        time.sleep(0.03)
print("saved and leaving" if leaving else "finished", flush=True)
"""
REST = 3


def newest(cli: Cli) -> dict[str, Any]:
    return cli("runs", "--limit", "1", "--json").json["items"][0]


def start_steady(cli: Cli, *, steps: int = 10**6, rest: int = REST) -> str:
    """A run in the background that has committed some checkpoints."""
    arguments = ["--steps", str(steps), "--rest", str(rest)]
    run = cli("train", "steady.py", "--no-wait", "--", *arguments).out.strip()
    until(lambda: len(committed(cli, run)) >= REST, "too few checkpoints")
    return run


def steps_of(cli: Cli, run: str) -> list[int]:
    return [item["step"] for item in cli("checkpoint.list", run, "--json").json["items"]]


def committed(cli: Cli, run: str) -> list[int]:
    """The same from the bucket itself, for those who ask again and again."""
    address = daemon.find(cli.state / "local")
    assert address is not None
    s3 = client(address, "s3")
    (bucket,) = s3.list_buckets()["Buckets"]
    found = s3.list_objects_v2(Bucket=bucket["Name"], Prefix=f"runs/{run}/checkpoints/").get("Contents", [])
    return [int(item["Key"].split("/")[3]) for item in found if item["Key"].endswith("/manifest.json")]
