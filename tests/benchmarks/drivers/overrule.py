"""An administrator with an open connection, as `svm verdicts set` makes one.

Settings: socket. Questions: {"block": a digest in hexadecimal}, answered {"began", "ended"}: seconds of the
machine's monotonic clock around the call that has it called malicious; durable when it ends.
"""

import time
from typing import Any

from lightagent.v1 import admin_pb2

from appliance.rpc.admin_client import AdminClient
from tests.benchmarks.drivers import serve, settings


def main() -> None:
    """Answer until the input ends."""
    with AdminClient(settings()["socket"]) as client:

        def block(question: dict[str, Any]) -> dict[str, Any]:
            digest = bytes.fromhex(question["block"])
            request = admin_pb2.SetOverrideRequest(sha256=digest, allow=False, reason="bench")
            began = time.monotonic()
            client.set_override(request)
            return {"began": began, "ended": time.monotonic()}

        serve(block)


if __name__ == "__main__":
    main()
