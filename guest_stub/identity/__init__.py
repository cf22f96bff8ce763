"""Who this guest is to its SVM: a key that is made here and never leaves, and a certificate for it.

In the order that a guest gets them:

- `machine`    what tells this machine from its copies
- `pinning`    the authority: taken from what the SVM shows, and known by the fingerprint that was given
- `keys`       the key, the request for a certificate, whether what is answered is one; imports cryptography
- `enrolling`  the first certificate, by a token, and the next, by the one before: what is done in which order
- `store`      the directory: private, one program at a time
  - `kept`     what stands in it: who we are, and a key that was asked for; no I/O
- `port`       where this machine's host speaks to it; `host_offer` what the host hands out there
- `by_host`    when the daemon has this machine enrol by its host
- `renewing`   when the daemon has the certificate renewed
- `child`      how both are done: by a program of its own, so that the daemon never loads cryptography
"""
