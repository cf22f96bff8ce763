"""Which machines the hosts have, as `svm-host serve` knows it and tells the SVM.

- `agent`: who this host agent is, in its state directory; there is one at a time.
- `whose`: which tenant's a machine is, and whether it is excluded: by its metadata, a file, or its name.
- `following`: each host's libvirt, followed and opened anew when it went; publishes what changes.
- `reporting`: tells the SVM, at once and every minute; `outbox`: events for it, kept until it has them.
"""
