"""The background process's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.server.settings import parse


def test_the_delays_are_none_unless_asked_for():
    settings = parse(["--state", "/s"], {})
    assert (settings.state_dir, settings.port, settings.region) == (Path("/s"), 0, "us-east-1")
    assert not settings.delays.any


def test_delays_come_from_the_environment_and_options_win():
    environment = {"LOCALCLOUD_PENDING_SECONDS": "2", "LOCALCLOUD_STOPPING_SECONDS": "3"}
    delays = parse(["--state", "/s", "--stopping-seconds", "4"], environment).delays
    assert (delays.pending_seconds, delays.stopping_seconds, delays.any) == (2, 4, True)


def test_a_state_folder_is_required(capsys):
    with pytest.raises(SystemExit):
        parse([], {})
    assert "--state" in capsys.readouterr().err
