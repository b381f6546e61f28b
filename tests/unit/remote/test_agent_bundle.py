from __future__ import annotations

import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from remote import agent_bundle

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> agent_bundle.Bundle:
    return agent_bundle.build(tmp_path_factory.mktemp("bundle") / "agent.pyz")


def test_two_builds_are_the_same_bytes(built: agent_bundle.Bundle, tmp_path: Path) -> None:
    again = agent_bundle.build(tmp_path / "other/agent.pyz")

    assert again.path.read_bytes() == built.path.read_bytes()
    assert again.digest == built.digest


def test_it_is_small_and_says_its_own_size_and_digest(built: agent_bundle.Bundle) -> None:
    assert built.size == built.path.stat().st_size <= 5 << 20
    assert len(built.digest) == 64


def test_a_file_that_is_up_to_date_is_left_alone_at_once(built: agent_bundle.Bundle) -> None:
    before = built.path.stat().st_mtime_ns
    begin = time.perf_counter()

    again = agent_bundle.build(built.path)

    assert time.perf_counter() - begin < 0.5, "generous: it takes some 25 ms on an idle machine"
    assert (again, built.path.stat().st_mtime_ns) == (built, before)


@pytest.mark.parametrize("spoil", ["file", "stamp"])
def test_a_file_that_was_changed_is_built_again(tmp_path: Path, spoil: str) -> None:
    first = agent_bundle.build(tmp_path / "agent.pyz")
    path = first.path if spoil == "file" else tmp_path / "agent.pyz.json"
    path.write_bytes(path.read_bytes() + b" x")

    assert agent_bundle.build(first.path) == first
    assert first.path.stat().st_size == first.size


def test_a_changed_source_changes_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = agent_bundle._fingerprint()
    for package in agent_bundle.PACKAGED:
        shutil.copytree(ROOT / package, tmp_path / package)
    (tmp_path / "contract/clock.py").write_text("")
    monkeypatch.setattr(agent_bundle, "CHECKOUT", tmp_path)

    assert agent_bundle._fingerprint() != before


def test_only_the_services_that_the_agent_calls_are_in_it(built: agent_bundle.Bundle) -> None:
    names = zipfile.ZipFile(built.path).namelist()

    services = {name.split("/")[3] for name in names if name.startswith("site/botocore/data/") and name.count("/") > 3}
    assert services == {"s3", "sts"}
    assert "site/botocore/cacert.pem" in names
    assert {"site/agent/run/supervisor.py", "site/contract/clock.py"} <= set(names)
    assert {name.split("/")[1] for name in names if name.startswith("licences/")} == set(agent_bundle.PACKAGES)
    assert not [name for name in names if name.endswith((".pyc", ".so"))]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(agent_bundle.PACKAGES, "no-such-package", "no_such_package")

    with pytest.raises(RuntimeError, match="no-such-package"):
        agent_bundle.build(tmp_path / "agent.pyz")


def test_importing_the_module_does_not_import_boto3() -> None:
    code = "import remote.agent_bundle, sys; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_command_says_what_it_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "agent.pyz"

    assert agent_bundle.main([str(target)]) == 0
    assert capsys.readouterr().out.split()[0] == str(target)
    assert agent_bundle.main([]) == 64
