"""Changes moto's objects directly where no AWS call can.

EC2's transitional states (pending, stopping, shutting-down), the reason of a spot interruption and the fields that
moto leaves out are set here and nowhere else, so that a new version of moto can break only this module.
"""

from __future__ import annotations

from typing import Any

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class MotoState:
    """Sets states and fields in moto's EC2 model of one region."""

    def __init__(self, *, region: str) -> None:
        self._region = region

    @staticmethod
    def prepare() -> None:
        """Load moto's EC2 (about a second), and add the filters that it lacks."""
        from moto.ec2.utils import filter_dict_attribute_mapping  # noqa: PLC0415  not before the server answers

        filter_dict_attribute_mapping["instance-lifecycle"] = "lifecycle"
        filter_dict_attribute_mapping["spot-instance-request-id"] = "spot_instance_request_id"

    def move(self, instance_id: str, *, to: str, only_from: tuple[str, ...]) -> bool:
        """Change an instance's state if it is in one of `only_from`; return whether it changed."""
        instance = self.instance(instance_id)
        if instance is None or instance.state not in only_from:
            return False
        state = instance.instance_state
        state.name, state.code = to, CODES[to]
        return True

    def explain(self, instance_id: str, *, code: str, message: str) -> None:
        """Set the reason of an instance's last change of state."""
        instance = self.instance(instance_id)
        if instance is not None:
            instance.state_reason.code, instance.state_reason.message = code, message

    def instance(self, instance_id: str) -> Any:
        """Return the model object of an instance, None when there is none."""
        return self.backend().get_instance_by_id(instance_id)

    def backend(self) -> Any:
        """Return the EC2 backend of the region."""
        return get_backend("ec2")[DEFAULT_ACCOUNT_ID][self._region]
