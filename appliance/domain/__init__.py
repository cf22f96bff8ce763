"""The words of the appliance: frozen values, standard library only, no I/O.

- `digest`      the SHA-256 of a file's whole content, the only identity a verdict hangs on
- `outcome`     dispositions and unanswered ends, numbered as on the wire
- `verdict`     what is known of a digest, and by whom
- `override`    an administrator's word, which wins over every verdict
- `web`         how a question about a web address can end
- `policy`      what a tenant has decided on KSN: the type, the mode, the consent
- `participation`  whether KSN is used on a tenant's behalf, how far, and why not further
- `guest`       who asks, and which entries of the cache he may see
- `generation`  the fingerprint of engines and signatures
- `content`     what is known of a file's content before an engine looks at it
"""
