"""Which virtual machines there are on the hosts, and which of them are not protected that should be.

- `register`: what host agents told, who may tell of which host, what is durable of it.
- `watch`: looks at every machine now and then; one that is left unprotected becomes an event.
"""
