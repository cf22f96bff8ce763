"""What is done to a file that was detected: it is sealed in the quarantine, and may come back.

From the outside in:

- `actions`      carries out what a policy says: block, quarantine, delete, report
- `quarantine`   take, delete, restore, release by digest, drop, list, tidy: for daemon and commands
  - `done`       the words: an action, a result
- `sealing`      reads by the descriptor, seals, notes the removal, removes; in an order that no kill upsets
  - `sealed`     the bytes of a sealed file; a reader that believes nothing
  - `cipher`     the key, and AES-256-GCM; the only importer of cryptography
  - `facts`      an entry: how the file was judged and what it was
- `removal`      takes away the file of a descriptor and never another
  - `directories`  names reached without links, renamed without replacing
  - `attributes`   owner, mode, times, flags, extended attributes: read, and given back
- `restoring`    puts a file back, whole or not at all, under a name that is free
  - `new_file`   a file that becomes visible when it is whole
  - `handles`    finds the inode of a file with several names again
- `exporting`    a file for somebody who takes it apart
  - `zip_aes`    a ZIP with a password, as that field passes such files on
- `tidying`      what a start finds of an end in the middle
  - `intention`  a removal that is under way, written down
- `store`        the files of the quarantine and their locks
- `room`, `bounds`   what has to go for size and age, oldest first
- `about`        what is said of an entry
"""
