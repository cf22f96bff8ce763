"""Who is who: the SVM's authority, the certificates that it issues, and the register of those that count.

In the order that a guest meets them:

- `names`      whom a certificate names: one URI in it
- `keys`       keys, and requests for certificates
- `authority`  what makes certificates; `files` where it lies, and how it begins
- `inspection` what is wrong with any of that, for `svm doctor`
- `tokens`     the text that lets a guest enrol
- `issuing`    tokens, enrolments, renewals: what makes certificates count
- `standing`   how the certificates of a guest follow on one another
- `ending`     what makes certificates count no more
- `registry`   whose a certificate is, for each call; changes, one after another, told to who cuts calls
- `clones`     whether a guest is in two places at once
"""
