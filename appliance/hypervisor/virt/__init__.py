"""libvirt: the only room that imports it. What goes wrong comes out as a `VirtError` with a sentence.

- `connection`: a host's libvirt, opened within a deadline.
- `domains`: its machines; `finding`: the one that somebody means by a name or a UUID.
- `definitions`: one of them, defined, started and stopped; `ports`: spoken to.
- `machine`: one of them, and its disks; `backups`: what it runs on, at a moment.
- `networks`, `volumes`: its networks, its storage pools and what is in them.
"""
