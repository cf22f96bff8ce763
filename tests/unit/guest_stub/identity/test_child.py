"""A program that the daemon runs; more of it is in test_renewing."""

import sys

from guest_stub.identity.child import Command, run


async def test_how_it_ended_is_told() -> None:
    """In its own words, where it has any."""
    assert await run(Command([sys.executable, "-c", "print('done')"]), 60.0) == ""
    says = "import sys; sys.exit('guest-stub: no room')"
    assert await run(Command([sys.executable, "-c", says]), 60.0) == "no room"
    assert await run(Command([sys.executable, "-c", "raise SystemExit(7)"]), 60.0) == "it ended with 7"
    assert "No such file" in await run(Command(["/nowhere"]), 60.0)
    waits = Command([sys.executable, "-c", "import time; time.sleep(1000)"])
    assert await run(waits, 0.1) == "it took more than 0.1 s"
