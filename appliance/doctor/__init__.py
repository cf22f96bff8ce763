"""Whether an SVM can protect, and what to do where it cannot: what `svm doctor` looks at.

Each module looks at one thing and gives findings; nothing here changes anything.

- `findings`      one line: what was looked at, whether it is good, what to do
- `serving`       whether an SVM runs on a state directory, and what it says of itself
- `files`         owners and modes of what lies there, and what was left behind
- `disk`          room for it
- `stores`        how full the LMDB files are
- `certificates`  those of the SVM itself: their ends, and whether they belong together
- `register`      those of guests and administrators, and copies that were noticed
- `clock`         whether the time can be right
- `workers`       a real worker in its sandbox, as the user that the SVM runs as; `__main__` runs it so
- `signatures`    engines, the age of their signatures, what is wrong in them
- `ksn`           who takes part, and whether it is asked
- `limits`        which bounds were reached
- `doors`         sockets and ports
- `packet_filter` whether it keeps one address from having a whole door
"""
