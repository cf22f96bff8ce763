"""`make demo`: five guests scan a real tree through one real SVM, and what they say is checked.

In the order that it runs:

- `__main__`   the story, told while it happens; exit 0 only when every claim holds
- `tree`       what is scanned: parts of this machine, and EICAR in several wrappings
- `stock`      what is in it, found out without the code that is shown: walked and hashed here
- `programs`   `svm serve` and the `guest-stub scan` processes
- `progress`   one line for each guest while they scan
- `claims`     what must hold, and the table
"""
