"""Under systemd: a scope that keeps our descriptors, and a call back after a reboot.

systemd itself cannot be started here; programs in its place keep what they were asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.host.systemd import RECOVERY, Systemd, unit_text
from agent.paths import Layout
from agent.run.start import StartOrder, start
from tests.support.waiting import wait_until

FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
if [ "$(basename "$0")" = systemd-run ]; then
    while [ "$1" != "--" ]; do shift; done
    shift
    exec "$@"
fi
exit {code}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A host with systemd; `asked()` gives what its programs were asked."""

    def make(*, root: bool = True, code: int = 0) -> Systemd:
        for name in ("systemd-run", "systemctl"):
            program = tmp_path / name
            program.write_text(FAKE.format(log=tmp_path / "asked", code=code))
            program.chmod(0o755)
        (tmp_path / "booted").mkdir(exist_ok=True)
        (tmp_path / "units").mkdir(exist_ok=True)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return Systemd(booted=tmp_path / "booted", units=tmp_path / "units", root=root)

    return make


def asked(tmp_path: Path) -> list[str]:
    log = tmp_path / "asked"
    return log.read_text().splitlines() if log.exists() else []


def test_a_supervisor_in_a_scope_keeps_the_descriptors_it_inherits(place, tmp_path: Path) -> None:
    systemd = place()
    inherited = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    writes = f"import os; os.write({inherited}, b'held')"
    argv = systemd.scoped([sys.executable, "-c", writes], "runctl-20261122-160000-7f3a9c-1")
    subprocess.run(argv, check=True, pass_fds=[inherited])
    os.close(inherited)

    assert (tmp_path / "lock").read_text() == "held"
    assert "--scope" in asked(tmp_path)[0]
    assert "--unit=runctl-20261122-160000-7f3a9c-1" in asked(tmp_path)[0]


@pytest.mark.parametrize("lacks", ["root", "boot"])
def test_without_systemd_or_its_permission_nothing_is_different(place, tmp_path: Path, lacks: str) -> None:
    systemd = place(root=lacks != "root")
    if lacks == "boot":
        (tmp_path / "booted").rmdir()
    systemd.install_recovery(["python3", "agent.pyz"], {})

    assert systemd.scoped(["a", "b"], "unit") == ["a", "b"]
    assert list((tmp_path / "units").iterdir()) == []
    assert asked(tmp_path) == []


def test_the_recovery_is_enabled_once(place, tmp_path: Path) -> None:
    systemd = place()
    for _ in range(2):
        systemd.install_recovery(["/usr/bin/python3", "/var/lib/runctl/agent/x.pyz"], {"AWS_REGION": "eu-west-1"})

    assert asked(tmp_path) == ["systemctl daemon-reload", f"systemctl enable {RECOVERY}"]
    assert (tmp_path / "units" / RECOVERY).read_text().count("recover") == 1


def test_a_refusal_of_systemd_is_no_end_of_the_run(place, tmp_path: Path) -> None:
    place(code=1).install_recovery(["python3"], {})

    assert len(asked(tmp_path)) == 1


def test_odd_words_of_the_program_reach_the_unit_as_they_are() -> None:
    text = unit_text(["/opt/py 3/python", "-c", 'a"b%c$d\\'], {})

    assert 'ExecStart="/opt/py 3/python" "-c" "a\\"b%%c$$d\\\\" "recover"' in text
    assert "KillMode=process" in text


def test_an_agent_that_is_started_under_systemd_supervises_from_its_scope(place, tmp_path: Path) -> None:
    order = StartOrder(bucket="b", run="20261122-160000-7f3a9c", attempt=1, region=None)
    program = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    layout = Layout.of({"HOST_ROOT": str(tmp_path / "host")})
    answer = start(order, layout=layout, program=program, refuse=pytest.fail, systemd=place())

    assert answer.line["state"] == "started"
    log = layout.run(order.run, 1).agent_log
    wait_until(lambda: "supervise" in log.read_text())
    assert f"--unit=runctl-{order.run}-1-" in asked(tmp_path)[0]
