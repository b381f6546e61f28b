"""Tab, in the shells themselves: the scripts that the programs print, run by bash, zsh and fish."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import BIN, ROOT, SECONDS

# What each shell is told: to load the script, and to say what it would offer for the words that follow.
BASH = """
eval "$($1 --print-completion-script bash)"
offer=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"$offer" "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
eval "$($1 --print-completion-script zsh)"
words=("$@")
$(compctl -L $1 | sed 's/.*-K \\([^ ]*\\).*/\\1/')
print -lr -- ${(M)reply:#${@[-1]}*}
"""
FISH = """
$argv[1] --print-completion-script fish | source
complete --command inv --wraps invoke
complete -C "$argv"
"""
SHELLS = {
    "bash": ["bash", "--norc", "-c", BASH, "-"],
    "zsh": ["zsh", "-f", "-c", ZSH, "-"],
    "fish": ["fish", "--no-config", "-c", FISH],
}
LINES = {
    "tra": ["train"],
    "checkpoint.pu": ["checkpoint.pull", "checkpoint.push"],
    "train x.py --no-wa": ["--no-wait"],
    "train training/train_d": [],  # a script: where we offer nothing, bash and zsh offer files
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(("program", "cwd"), [("inv", ROOT), ("runctl", Path("/"))], ids=["inv", "runctl"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_offers_commands_and_options(shell: str, program: str, cwd: Path, line: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [*SHELLS[shell], program, *line.split()],
        cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip

    assert done.stderr == ""
    assert sorted(row.split("\t")[0] for row in done.stdout.split("\n") if row) == LINES[line]
