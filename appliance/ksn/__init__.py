"""The Kaspersky Security Network: what may be asked, and how it is asked. Nothing in the SVM uses it yet.

In the order that a question passes:

- `weburl`     a URL as it is asked about: normal form, host, registered domain
- `zones`      what a zone means here, and for how long: the one table of it
- `reputation` the port: what a service can be asked, what it can answer, how it can fail
- `statement`  what may leave, to the letter: the Statement, the ledger and the requests come from it
- `opentip`    the driver for the OpenTIP dialect (aiohttp); `opentip_json` reads what comes back
- `asking`     never in the way: a slice of the budget, bounds, single flight, the ledger told before
- `breaker`    when a service is left alone
- `quota`      how much may be asked
"""
