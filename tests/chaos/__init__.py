"""A serving SVM under load is killed again and again, and what it had promised is looked for each time.

    make chaos                          500 rounds
    make chaos ROUNDS=50 SEED=7         fewer; the seed of a run decides what each round does
    python -m tests.chaos --seed 7 --first 31 --rounds 1   one round of a run again

What was acknowledged is written into the harness's own log (`acknowledged.jsonl` in its directory) when it
was heard and before anything is compared. A round kills one thing at a random moment: the SVM, an SVM that
starts, one of its workers, `guest-stub scan`, or `guest-stub run` while processes wait for its answer. A seed
makes the choices the same again, not the scheduling: a failure that hangs on it may need some tries.

The SVM has been through `svm init`, and listens on TCP: whoever asks it has enrolled.

- `contents`   what guests hold, and the truth about it
- `book`       what was acknowledged and told; `broken` what is raised where it was not kept
- `register`   what tokens, guests and certificates have to be by that; `page` a tenant's part of the book
- `people`     who is enrolled before the first round
- `officer`    tokens, enrolments, renewals, administrators' certificates, and what ends them
- `load`       guests, a reporter of events, an administrator, two officers, all at once
- `serving`    the SVM: started, killed, started again
- `processes`  what is left over: processes, descriptors, memfds
- `disk`       what lies on the disk once the SVM is dead, against the book; `register_disk` who is who there
- `stubs`      real guest stubs, killed
- `rounds`     one round of each kind
"""
