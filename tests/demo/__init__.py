"""`make demo`: five guests scan a real tree through one real SVM, and what they say is checked.

In the order that it runs:

- `__main__`   the story, told while it happens; exit 0 only when every claim holds
- `tree`       which parts of this machine are scanned
- `wrappings`  EICAR in a plain file, in archives within archives, and in a document
- `stock`      what is in the tree, found out without the code that is shown: walked and hashed here
- `reputation` a file that KSN alone knows, and the Private KSN that knows it
- `programs`   `svm serve` and the `guest-stub scan` processes
- `progress`   one line for each guest while they scan
- `told`       what the guests said, and the table of it
- `disclosed`  what left for KSN, by the SVM's ledger
- `claims`     what must hold
"""
