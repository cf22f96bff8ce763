"""Hostile input, made up by hypothesis: every parser against its declared exceptions, and a living SVM.

- `mutation`    bytes that were something once, and what is done to them
- `messages`    any message of the wire, field by field from its descriptor, with values at the edge
- `steps`       what a hostile guest does on its calls, as a story that shrinks
- `hostile`     plays a story with real gRPC, several guests at once, well-formed or not
- `watched`     a real SVM that is watched meanwhile: its log, its tasks, its descriptors; a guest beside it
- `tls_doors`   the same SVM with its doors on TCP: guests with certificates, nobody, administrators
- `estate`      a model of what two tenants and the provider have, may and see; `tenants_door` plays on it
- `test_*`      one file for each kind of input

What lies in `seeds/` is where mutations begin. An input that was a finding is kept as an `@example`, beside
the sentence of what it did. `make test` tries the same examples each time; `make fuzz` goes on with others.
"""
