"""What an SVM does when it starts, before it serves: a program of its own, `kvmla-first-boot`, run as root.

- `disks`: finds the state disk, makes a file system on a blank one, mounts it.
- `seed`: what the NoCloud disk says: name, addresses, settings, keys. Nothing secret is on it.
- `network`: that as systemd-networkd reads it.
- `cards`: what the network cards are called in the end.
- `applying`: puts it where it counts, and runs `svm init`. Done again at each start, it changes nothing.
"""
