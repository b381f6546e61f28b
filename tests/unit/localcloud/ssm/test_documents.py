"""AWS-RunShellScript's parameters."""

from __future__ import annotations

import pytest

from localcloud.ssm.documents import script_of
from localcloud.wsgi import AwsError


def test_commands_are_joined_line_by_line_and_the_defaults_are_awss():
    script = script_of("AWS-RunShellScript", {"commands": ["a", "b c"]})
    assert (script.text, script.directory, script.timeout_seconds) == ("a\nb c", "", 3600)


def test_directory_and_timeout_are_taken():
    parameters = {"commands": ["a"], "workingDirectory": ["/tmp"], "executionTimeout": ["172800"]}
    script = script_of("arn:aws:ssm:us-east-1::document/AWS-RunShellScript", parameters)
    assert (script.directory, script.timeout_seconds) == ("/tmp", 172_800)


@pytest.mark.parametrize("timeout", ["0", "172801", "-5", "1h", "1.5", "²"])
def test_a_timeout_out_of_bounds_is_refused(timeout):
    with pytest.raises(AwsError) as caught:
        script_of("AWS-RunShellScript", {"commands": ["a"], "executionTimeout": [timeout]})
    assert caught.value.code == "InvalidParameters"
