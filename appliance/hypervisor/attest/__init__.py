"""Attested enrolment: a machine of this host gets its token over a channel that only it can speak on.

Nothing is typed in the machine, and no token is on any disk. A machine asks with the digest of a key that
it has made; the token is bound to the machine's UUID, which libvirt vouches for, and to that key. In the
order that data passes:

- `messages`      what is said on a channel: one line of JSON each way; no I/O
- `allowance`     how often a machine gets a token
- `channel`       the socket of a machine's channel: one holder at a time, deadlines
- `conversation`  one machine on its channel, who may say anything
- `tokens`        asks the SVM for a token
- `enrolling`     the part of `svm-host serve`: which machines have a channel, and who attends to it
"""
