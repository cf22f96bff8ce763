"""What the SVM grants every guest."""

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from appliance.config_limits import Limits


@dataclass(frozen=True, slots=True)
class Terms:
    """limits: those of one guest. valid_for: how long a guest may keep a verdict."""

    limits: Limits
    valid_for: Duration
