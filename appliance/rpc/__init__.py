"""gRPC: what guests and administrators ask, and who they are.

In the order that a call passes:

- `server`        the gRPC servers: guests' and administrators', and their limits
- `lobby`         health and reflection, which need no ticket, and what they may hold
- `tls`           what the doors on TCP show and ask for
- `access`        which role may call what, and the gate that every call passes
- `identity`      who a caller is: the one place where a connection becomes a guest or an administrator
- `tickets`       the kernel's word on who is at the other end of a unix socket
- `administrators` which users and groups of this machine are administrators
- `sessions`      the guests that are attached, a session for each program, and what each may hold
- `share`         what the sessions of one guest have together; `flood` how fast a guest may talk
- `tenants`       what the guests of one tenant have together
- `over`          the counters of what was over a bound
- `connections`   how many connections one address, or one user, may hold
- `calls`         what the guest's calls have in common
- `guest`         the Protection service: Attach, Check, Scan, KsnInfo, CheckUrl
- `attach`        one call of the first; `check` of the second; `scan` of the third
- `voice`         what a call says, one message at a time; `outbox` what waits to be said together
- `check_url`     web addresses, within the bounds of one guest
- `wire`          domain values as messages, and the bounds the wire promises
- `admin`         the Administration service, and the port `Control` that it hands requests to
- `admin_views`   what an administrator is shown, as values and as messages
- `ksn_admin`     the KsnAdministration service on the same socket, and its port; `ksn_views` its values
- `guest_events`  what a guest says happened, and the rules of that; `journals` what it is told of it
- `events_admin`  the EventsAdministration service: what happened
- `exposure_admin` the ExposureAdministration service, and its port: who holds what
- `admin_calls`   what these services for administrators have in common
- `admin_turns`   how much of the SVM all their calls take; `places` whose the places of one kind are
- `admin_line`    how the `svm` commands reach an SVM; `admin_client` what they ask it
"""

import os

# gRPC for Python cannot be told the least version of TLS. What it can be told, by a variable of the
# environment that it reads when it is loaded, are the ciphers of TLS 1.2: one that needs a key which nobody
# has leaves none, and TLS 1.3, whose ciphers are its own, is what remains.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-AES128-CBC-SHA"
# Anybody can fail at a handshake as often as he likes: a line in the log for each would fill it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
