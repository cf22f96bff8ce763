"""The stub's line to one SVM, in the order that a question passes: the only importer of grpc here.

- `values`    what callers hand in and get back: labels, policy, answers; free of grpc
- `target`    which SVM, and what this guest proves itself by over TCP; free of grpc
- `refusals`  why an SVM over TCP lets nobody in, and what to do
- `ticket`    who we are, on a unix socket: the companion socket's ticket
- `link`      SvmLink: the channel, Attach and its heartbeat, and the loss of the SVM
- `ending`    why a call ended, where a write met its end
- `pace`      how fast what the SVM says there is taken
- `scans`     what is said of scans on Attach, down and up
- `ksn`       what the SVM says of the Kaspersky Security Network: a call of its own, without Attach
- `check_url` what the SVM knows of web addresses: as `ksn`
- `question`  one batch of digests on its way: first outcomes, then what settles later; no I/O
- `check`     the Check stream: questions out, replies to the question they belong to
- `upload`    the Scan streams: when content is sent, and sent again
- `packing`   content into messages: small files packed together, large ones in chunks
- `framing`   the bytes of such a message around the content
- `enrolment` the guest's certificate: the first one by a token, the next by the one before
"""

import os

# gRPC for Python cannot be told the least version of TLS. What it can be told, by a variable of the
# environment that it reads when it is loaded, are the ciphers of TLS 1.2: one that needs a key which nobody
# has leaves none, and TLS 1.3, whose ciphers are its own, is what remains.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-AES128-CBC-SHA"
# The daemon forks to begin another program (see `identity.renewing`), and does nothing in between. What gRPC
# would do there, for those who go on without a new program, ends the child now and then where threads are in
# its code.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# A line of gRPC's own for each handshake that fails, every time that it is tried again, tells nobody
# anything.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
