"""Makes the images of an SVM and of the lab's guests from Debian packages, the same bytes from the same lock.

In the order that data passes:

- `recipe`: what is in an image: packages, files, services.
- `lock`: the versions and digests that it is made from; `locking` writes one. `python_lock`: which libraries.
- `libraries`: brings those, as wheels.
- `apt`: finds the packages and brings them; `repository`: hands exactly those to mmdebstrap.
- `base`: the root file system of the packages, as a tar. `programs`: our own, and their libraries.
- `tree`: a root file system as a sorted list of entries, from a tar, directories, and text.
- `filesystem`: such a tree as ext4, without mounting and without being root.
- `modules`, `initramfs`: the kernel, and what finds the root file system for it.
- `partitions`, `disk`: all of it as one disk that boots.
- `leftovers`: who works in the directory for all of it, and what killed runs left there.
- `building`: one step after the other. `running`: programs that are run for it.
"""
