"""Completes newly launched instances with the parameters of request and launch template that moto ignores.

moto gives an instance profile only to the first instance of several, ignores the profile and the market of a launch
template, and makes no spot request ids.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from localcloud.internal_clients import Clients
from localcloud.state.moto_models import MotoState

TEMPLATE_ID, TEMPLATE_VERSION = "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"


class Launches:
    """Completes instances, each once."""

    def __init__(self, *, clients: Clients, state: MotoState) -> None:
        self._clients = clients
        self._state = state

    def complete(self, instance_id: str, form: Mapping[str, str]) -> None:
        """Set the profile, the market and the spot request id that the launch of an instance requested."""
        instance = self._state.instance(instance_id)
        if instance is None:
            return
        template = self._template(instance_id, form)
        self._give_profile(instance_id, form, template)
        market = template.get("InstanceMarketOptions") or {}
        if "spot" in (form.get("InstanceMarketOptions.MarketType"), market.get("MarketType")):
            instance.lifecycle = "spot"
        if instance.lifecycle == "spot":
            kind = form.get("InstanceMarketOptions.SpotOptions.SpotInstanceType")
            instance.spot_type = kind or (market.get("SpotOptions") or {}).get("SpotInstanceType") or "one-time"
            instance.spot_instance_request_id = f"sir-{secrets.token_hex(4)}"

    def _give_profile(self, instance_id: str, form: Mapping[str, str], template: dict[str, Any]) -> None:
        asked = {key: form.get(f"IamInstanceProfile.{key}") for key in ("Name", "Arn")}
        profile = {key: value for key, value in asked.items() if value} or template.get("IamInstanceProfile")
        if not profile:
            return
        ec2 = self._clients.get("ec2")
        filters = [{"Name": "instance-id", "Values": [instance_id]}]
        if not ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"]:
            ec2.associate_iam_instance_profile(InstanceId=instance_id, IamInstanceProfile=profile)

    def _template(self, instance_id: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Return the data of the launch template that an instance came from, empty when there was none.

        moto tags an instance with its template, except in a fleet; for a fleet the first template counts.
        """
        ec2 = self._clients.get("ec2")
        described = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
        version = tags.get(TEMPLATE_VERSION) or _ending(form, "Version") or "$Default"
        template_id, name = (
            tags.get(TEMPLATE_ID) or _ending(form, "LaunchTemplateId"),
            _ending(form, "LaunchTemplateName"),
        )
        if not template_id and not name:
            return {}
        named = {"LaunchTemplateId": template_id} if template_id else {"LaunchTemplateName": name}
        versions = ec2.describe_launch_template_versions(**named, Versions=[version])["LaunchTemplateVersions"]
        data: dict[str, Any] = versions[0]["LaunchTemplateData"] if versions else {}
        return data


def _ending(form: Mapping[str, str], name: str) -> str:
    """Return the first field of a request whose last part is `name`, wherever it stands."""
    return next((value for key, value in sorted(form.items()) if key.rpartition(".")[2] == name and "." in key), "")
