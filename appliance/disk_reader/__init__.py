"""The program `disk-reader`: reads what is on a disk image, for `svm-host`, which starts it behind walls.

It is a program of its own, and the only one that imports `dissect`: that is AGPL-3.0, and it parses whatever
a guest has written to its disk. It has no network, can open nothing, and gets descriptors that are open for
reading. What it says is hostile to whoever started it. In the order that data passes:

- `protocol`   what it is told and what it says, as bounded messages over a pipe; all that others import of it
- `images`     raw, qcow2 and vmdk, layer over layer, as one readable disk; `nbd`: one that QEMU serves
- `volumes`    partitions (`mbr`) and logical volumes, and what is on each; `blank`: whether one is empty
- `trees`      file systems: directories, regular files, their bytes
- `unchanged`  which files lie where they lay, and were not written to since an earlier scan: not read again
- `dirty`      what of a disk was written to: told by QEMU (`nbd_changes`) or by an image (`qcow2_bitmaps`),
               for each disk that can be compared (`comparing`)
- `walking`    each regular file once, with its digest, within bounds
- `serving`    answers what is asked, one thing after the other
"""
