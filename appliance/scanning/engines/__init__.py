"""The engines: each looks at one content and says what it objects to.

In the order that data passes:

- `content`   what an engine is given: bytes, descriptor, names, and digests that are computed when asked
- `engine`    the port: `Engine`, its one exception, and what building its signatures yields
- `eicar`     the test file that every scanner knows
- `hashlist`  lists of digests; `hashlines` reads their lines, `hashtable` packs and searches them
- `yara`      YARA-X rules; `yara_split` keeps those apart that only a Windows program can match
- `clamd`     a ClamAV daemon beside the SVM, over its unix socket
- `table`     one row for each engine: adding one is a file, a test and a row
- `sources`   finds files of rules and lists, and gathers what is wrong with them

Building (reading the operator's files, compiling) and scanning run in different processes: a build
yields sections of bytes, and `signatures` carries them in one descriptor to the scanning workers.
"""
