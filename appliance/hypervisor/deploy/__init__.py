"""Deploying an SVM on a host: made whole or taken back, the same again changes nothing (decisions/0041).

In the order in which it happens:

- `deployment`: what is asked for, without any I/O; it is written into the domain and read from it.
- `images`: the files that it is made from, looked at before anything is made.
- `addresses`: the addresses of the two networks. `seed`, `iso`: what the SVM is told at its first boot.
- `network_xml`, `storage_xml`, `domain_xml`: what libvirt is told.
- `undo`: what was made is taken back when a later step fails. `making`: the steps.
- `handover`: the certificates out of a new SVM, by a port that is the host's alone.
- `health`: until it answers.
- `deploying`, `upgrading`, `removing`: the three commands.
"""
