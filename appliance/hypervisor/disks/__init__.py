"""Disks of machines, read without a guest's help: for `svm-host scan-image`.

In the order that data passes:

- `source`    what is scanned: a file, or the disks of a machine, off or running
- `headers`   the first bytes of an image: its format, what lies under it, whether it can be read
- `opening`   its files, opened once it is known what they are; `chain`: it and all that lies under it
- `in_use`    who writes to it
- `reader`    the program `disk-reader` behind its walls, and what it says, which is hostile
- `comparing` what of the last scan counts: its `records`, and whether its disks are as they were: `standing`
- `running`   a machine that runs, by a backup of this moment; `remembering`: and by a checkpoint for the next
- `scanning`  the use case: digests first, content only of what the SVM does not know
- `report`    what was found, and what was not looked at
- `progress`  the bar on a terminal
"""
