"""libvirt: the only room that imports it. What goes wrong comes out as a `VirtError` with a sentence.

- `connection`: a host's libvirt, opened within a deadline.
- `domains`: its machines; `machine`: one of them, and its disks; `backups`: what it runs on, at a moment.
"""
