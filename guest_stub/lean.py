"""Leaves out what the stub never uses and its libraries would load. Imported before all of them.

asyncio imports ssl where it can, which takes nearly a MiB and goes unused: TLS is gRPC's own here.
protobuf imports its messages in Python, 1.2 MiB with all that they need, also where it has them in C.
"""

import sys
from types import ModuleType

if "asyncio" not in sys.modules:  # else this is a larger program, with more than a stub in it
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type] # "not to be imported", as importlib has it

    from google.protobuf.internal import api_implementation

    if api_implementation.Type() != "python":  # what imports it does not ask whether it is there
        unused = "google.protobuf.internal.python_message"
        sys.modules.setdefault(unused, ModuleType(unused))
