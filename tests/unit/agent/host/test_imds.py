from __future__ import annotations

import pytest

from agent.host.imds import Metadata, MetadataError
from tests.support.metadata import INSTANCE, MetadataService


def test_a_value_is_found_and_a_missing_one_is_none() -> None:
    with MetadataService() as service:
        metadata = Metadata.of({"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint + "/"})

        assert metadata.find("instance-id") == INSTANCE
        assert metadata.find("spot/instance-action") is None


def test_a_token_that_has_run_out_is_replaced() -> None:
    with MetadataService() as service:
        metadata = Metadata(service.endpoint)
        metadata.find("instance-id")
        service.token = "token-2"

        assert metadata.find("instance-id") == INSTANCE


def test_a_service_that_fails_or_is_not_there_says_what_was_asked() -> None:
    with MetadataService() as service:
        metadata = Metadata(service.endpoint)
        metadata.find("instance-id")
        service.status = 500
        with pytest.raises(MetadataError, match="instance-id: HTTP 500"):
            metadata.find("instance-id")
        with pytest.raises(MetadataError, match="token: HTTP 500"):
            Metadata(service.endpoint).find("instance-id")
    with pytest.raises(MetadataError, match="token: "):
        Metadata(service.endpoint).find("instance-id")


def test_a_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with MetadataService() as service:
        assert Metadata(service.endpoint).find("instance-id") == INSTANCE
