"""Polls for the notice that EC2 gives before it reclaims a spot instance, and divides the two minutes left.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html: the notice is at
`spot/instance-action` about two minutes ahead; AWS advises to poll every five seconds, and we poll every two. A
rebalance recommendation may come earlier, and may be followed by nothing: it goes into the log and ends nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agent.host.imds import Metadata
from contract.clock import Clock, parse_stamp

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
NOTICE_SECONDS = 120.0
# Reserved for a last scan of the directory, the log and the outcome.
CLOSING_SECONDS = 8.0
SMALLEST_GRACE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Notice:
    """EC2 will act at a moment: `terminate`, `stop` or `hibernate`."""

    action: str
    at: datetime


def parse_notice(text: str) -> Notice | None:
    """Parse `spot/instance-action`; None when it is not a notice."""
    try:
        found = json.loads(text)
        return Notice(action=str(found["action"]), at=parse_stamp(str(found["time"])))
    except (ValueError, KeyError, TypeError):
        return None


def seconds_left(notice: Notice, now: datetime) -> float:
    """Return how long the host will live; a clock that cannot be right gives way to the documented two minutes."""
    left = (notice.at - now).total_seconds()
    return left if 0 < left <= NOTICE_SECONDS + POLL_SECONDS else NOTICE_SECONDS - 2 * POLL_SECONDS


def grace_for(left: float, upload_seconds: float | None) -> float:
    """Return how much of the time left the script may have, so that what it saves can still be sent.

    Half of it as long as nothing was sent, since nothing is known then; else all but one and a half times the upload of
    the last checkpoint. A script that is quicker leaves the rest to the upload.

    Args:
        left: seconds until the host is gone.
        upload_seconds: of the last checkpoint; None when none was sent yet.
    """
    known = left / 2 if upload_seconds is None else left - CLOSING_SECONDS - 1.5 * upload_seconds
    return min(left, max(SMALLEST_GRACE_SECONDS, known))


class SpotWatcher:
    """Polls the metadata service for notices; used by one thread.

    Args:
        metadata: of this host.
        on_notice: called once, with the notice and the seconds left.
        on_recommendation: called once, when EC2 recommends to leave the host.
        clock: for the seconds left.
    """

    def __init__(
        self,
        metadata: Metadata,
        *,
        on_notice: Callable[[Notice, float], None],
        on_recommendation: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._metadata = metadata
        self._on_notice = on_notice
        self._on_recommendation = on_recommendation
        self._clock = clock
        self._noticed = False
        self._recommended = False

    def poll(self) -> None:
        """Poll once.

        Raises:
            MetadataError: the service does not answer.
        """
        if not self._noticed and (text := self._metadata.find("spot/instance-action")):
            notice = parse_notice(text)
            if notice is None:
                logger.warning("spot/instance-action has %r, which is not a valid notice", text[:200])
            else:
                self._noticed = True
                self._on_notice(notice, seconds_left(notice, self._clock.now()))
        if not self._recommended and self._metadata.find("events/recommendations/rebalance"):
            self._recommended = True
            self._on_recommendation()
