"""The laptop's certificates reach the hosts, as paths that mean the same in every folder."""

from __future__ import annotations

import pytest

from localcloud.hosts import certificates


def test_what_is_kept_is_read_and_nothing_else_of_the_environment(tmp_path):
    certificates.keep(tmp_path, {"SSL_CERT_FILE": "/ca.pem", "UV_SYSTEM_CERTS": "1", "PIP_CERT": "", "TOKEN": "secret"})
    assert certificates.read(tmp_path) == {"SSL_CERT_FILE": "/ca.pem", "UV_SYSTEM_CERTS": "1"}
    assert "secret" not in (tmp_path / certificates.FILE).read_text()


def test_the_last_caller_counts_also_one_that_has_no_settings(tmp_path):
    certificates.keep(tmp_path, {"SSL_CERT_FILE": "/ca.pem"})
    certificates.keep(tmp_path, {})
    assert certificates.read(tmp_path) == {}


def test_paths_are_those_of_the_callers_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    certificates.keep(tmp_path, {"PIP_CERT": "ca.pem", "SSL_CERT_DIR": "/etc/ssl:certs"})
    assert certificates.read(tmp_path) == {
        "PIP_CERT": f"{tmp_path}/ca.pem",
        "SSL_CERT_DIR": f"/etc/ssl:{tmp_path}/certs",
    }


def test_the_same_settings_are_not_written_again(tmp_path):
    certificates.keep(tmp_path, {"SSL_CERT_FILE": "/ca.pem"})
    tmp_path.chmod(0o500)
    before = (tmp_path / certificates.FILE).stat().st_ino
    certificates.keep(tmp_path, {"SSL_CERT_FILE": "/ca.pem"})
    assert (tmp_path / certificates.FILE).stat().st_ino == before


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"SSL_CERT_FILE": 1, "PATH": "/x"}', b"\xff"])
def test_a_file_that_is_not_ours_sets_nothing(tmp_path, content):
    (tmp_path / certificates.FILE).write_bytes(content)
    assert certificates.read(tmp_path) == {}
