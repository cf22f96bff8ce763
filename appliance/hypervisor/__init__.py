"""The host agent, `svm-host`: what runs on a KVM host beside libvirt, with the right over it that no SVM has.

It talks to the SVM as an administrator of its own role. Its rooms:

- `cli`: its commands, one file each.
- `image`: makes the images of an SVM, and of guests for trials, from Debian packages.
- `virt`: libvirt, which nothing else imports: connections, domains, networks, volumes, events.
- `deploy`: an SVM on a host: made whole or taken back, upgraded, removed.
- `settings`: its file of settings. `vm`: what is known of a machine, without any I/O.
"""
