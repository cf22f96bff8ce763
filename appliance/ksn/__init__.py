"""The Kaspersky Security Network: on whose behalf it may be asked, about what, and how it is asked.

In the order that a question passes:

- `network`    KSN as the SVM uses it: whether asking is of use, what is learnt, what is in the way
- `participation`  the gate: who takes part, in which mode, under which Statement
- `web`        web addresses: lists at home, what was learnt, then KSN, step by step
- `lists`      the operator's own lists of web addresses, which answer first
- `weburl`     a URL as it is asked about: normal form, host, registered domain
- `zones`      what a zone means here, and for how long: the one table of it
- `reputation` the port: what a service can be asked, what it can answer, how it can fail
- `statement`  what may leave, to the letter: the Statement, the ledger and the requests come from it
- `opentip`    the driver for the OpenTIP dialect (aiohttp); `opentip_json` reads what comes back
- `submitting` hands over content in extended mode; `kinds` says what kind a content is
- `statistics` reports how much was done, at intervals
- `later`      asks about what was scanned while KSN gave no answer
- `feed`       hears which reputations changed, from a service that tells; `pacing` says how often it asks
- `obstacle`   what is in the way of those that work all the time, told when it comes and goes
- `ledger`     written down before anything leaves, many at a time
- `checking`   tries a service step by step, for `svm ksn check`; `reaching` tries the way to it
- `asker`      who asks, and what leaves on his behalf
- `asking`     never in the way: a slice of the budget, bounds, single flight, the ledger told before
- `recorded`   nothing leaves before it stands in the ledger; how it ended is noted after
- `breaker`    when a service is left alone
- `api_key`    by which the provider is known to a service, read again when he says so
- `quota`      how much may be asked, and by whom
- `turns`      whose request is next, where too many want to go out
"""
