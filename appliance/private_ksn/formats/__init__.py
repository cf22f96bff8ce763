"""The formats of feeds, one file each. A new one is a file, its test, and a line in FORMS.

- `plain`          a digest, URL, domain or IP address a line, and a name behind it if there is one
- `malwarebazaar`  MalwareBazaar's CSV, also in its ZIP
- `urlhaus`        URLhaus's CSV, by its header line, also in its ZIP
- `nsrl`           NSRL RDSv3, minimal SQLite
- `misp`           a MISP feed's folder

`appliance.feeds` has what the SVM reads too: lines, CSV, URLhaus's rows.
"""

from appliance.private_ksn.formats import malwarebazaar, misp, nsrl, plain, urlhaus
from appliance.private_ksn.reputation import Zone
from appliance.private_ksn.sources import Form

# The name on the command line -> what reads it, and the zone of its entries where --zone does not say;
# None where somebody has to say.
FORMS: dict[str, tuple[Form, Zone | None]] = {
    "plain": (plain.read, None),
    "malwarebazaar": (malwarebazaar.read, Zone.RED),
    "urlhaus": (urlhaus.read, Zone.RED),
    "nsrl": (nsrl.read, Zone.GREY),
    "misp": (misp.read, Zone.RED),
}
