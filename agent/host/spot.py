"""The notice that EC2 gives before it takes a spot instance back, and what to do with the two minutes.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html: the notice is at
`spot/instance-action` about two minutes ahead; asking every five seconds is advised, and we ask every two. A rebalance
recommendation may come earlier, and may be followed by nothing: it is said in the log, and ends nothing.
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
# What is kept back for a last look at the directory, the log and the outcome.
CLOSING_SECONDS = 8.0
SMALLEST_GRACE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Notice:
    """EC2 will act at a moment: `terminate`, `stop` or `hibernate`."""

    action: str
    at: datetime


def parse_notice(text: str) -> Notice | None:
    """Read `spot/instance-action`; None when it is no notice."""
    try:
        found = json.loads(text)
        return Notice(action=str(found["action"]), at=parse_stamp(str(found["time"])))
    except (ValueError, KeyError, TypeError):
        return None


def seconds_left(notice: Notice, now: datetime) -> float:
    """How long the host will live; a clock that cannot be right is not asked, but the documented two minutes are."""
    left = (notice.at - now).total_seconds()
    return left if 0 < left <= NOTICE_SECONDS + POLL_SECONDS else NOTICE_SECONDS - 2 * POLL_SECONDS


def grace_for(left: float, upload_seconds: float | None) -> float:
    """How much of the time left the script may have, so that what it saves can still be sent.

    Half of it when nothing was sent yet, so that nothing is known; else all but one and a half times what the last
    checkpoint took. A script that is quicker leaves the rest to the sending.

    Args:
        left: seconds until the host is gone.
        upload_seconds: what sending the last checkpoint took; None when none was sent yet.
    """
    known = left / 2 if upload_seconds is None else left - CLOSING_SECONDS - 1.5 * upload_seconds
    return min(left, max(SMALLEST_GRACE_SECONDS, known))


class SpotWatcher:
    """Asks the metadata service for notices; used by one thread.

    Args:
        metadata: of this host.
        on_notice: told once, with the notice and the seconds left.
        on_recommendation: told once that EC2 would rather have the host back.
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
        """Ask once.

        Raises:
            MetadataError: the service does not answer.
        """
        if not self._noticed and (text := self._metadata.find("spot/instance-action")):
            notice = parse_notice(text)
            if notice is None:
                logger.warning("spot/instance-action says %r, which is no notice", text[:200])
            else:
                self._noticed = True
                self._on_notice(notice, seconds_left(notice, self._clock.now()))
        if not self._recommended and self._metadata.find("events/recommendations/rebalance"):
            self._recommended = True
            self._on_recommendation()
