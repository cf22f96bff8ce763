"""What the machine's packet filter keeps off the SVM's doors, since gRPC takes in whoever comes.

- `doors`: which doors of the settings are on TCP.
- `rules`: the rules for them, as nftables reads them.
- `nft`: puts them into the kernel, and looks at what is there.
"""
