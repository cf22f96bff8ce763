"""Leaves out what the stub never uses and its libraries would load. Imported before all of them.

asyncio imports ssl where it can, which takes nearly a MiB and goes unused: TLS is gRPC's own here.
"""

import sys

if "asyncio" not in sys.modules:  # else this is a larger program, with more than a stub in it
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type] # "not to be imported", as importlib has it
