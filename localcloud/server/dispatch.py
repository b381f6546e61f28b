"""Dispatches each request to the control API, to a layer of this package, or to moto.

This package answers the control API, Run Command, the EC2 operations that moto gets wrong, and conditional writes to
S3. Every other request goes to moto unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from localcloud import wsgi
from localcloud.ec2.api import Ec2
from localcloud.s3 import S3
from localcloud.server import control
from localcloud.ssm.api import RunCommand
from localcloud.wsgi import AwsError, Call, Environ, Reply, StartResponse

OF_BROWSERS = ("HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE")
"""Headers that every browser sends and no AWS client does: a web page must not run commands on this machine."""


class Dispatch:
    """The server's WSGI application in front of moto."""

    def __init__(
        self, *, moto: wsgi.App, ec2: Ec2, ssm: RunCommand, control_api: control.Control, calls: control.CallCounter
    ) -> None:
        self._moto = moto
        self._ec2 = ec2
        self._ssm = ssm
        self._control = control_api
        self._calls = calls
        self._s3 = S3(moto)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if any(name in environ for name in OF_BROWSERS):
            return wsgi.json_reply({"message": "requests from web pages are refused"}, status=403).send(start_response)
        if environ.get("PATH_INFO", "").startswith(control.PREFIX):
            return self._control.answer(environ).send(start_response)
        call = environ["localcloud.call"] = wsgi.identify(environ)
        self._calls.add(call.service, call.operation)
        if call.service == "ec2":
            return self._ec2.answer(call, environ).send(start_response)
        if call.service == "ssm" and self._ssm.handler(call.operation):
            return self._run_command(call, environ).send(start_response)
        if call.service == "s3":
            return self._s3.answer(call, environ, start_response)
        return self._moto(environ, start_response)

    def _run_command(self, call: Call, environ: Environ) -> Reply:
        handler = self._ssm.handler(call.operation)
        assert handler is not None  # noqa: S101  asked above
        try:
            answer, status = handler(json.loads(wsgi.read_body(environ) or b"{}")), 200
        except AwsError as error:
            answer, status = {"__type": error.code, "message": error.message}, error.status
        return wsgi.json_reply(answer, status=status, content_type="application/x-amz-json-1.1")
