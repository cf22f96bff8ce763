"""A web resource as it is asked about: normal URL, then its host, then its registered domain. Pure.

`feeds.web_address` has the normal form, which a Private KSN goes by as well. The query string is kept apart,
for those who may send it. Nothing is ever fetched: the public suffix list is the one that tldextract carries.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from appliance.feeds.web_address import MAX_URL_CHARS, parse_web_address
from appliance.ksn.reputation import Call, Subject

if TYPE_CHECKING:
    import tldextract


@dataclass(frozen=True, slots=True)
class WebResource:
    """What can be asked about a URL.

    url: "http://host:8080/path", "" where there is no path to ask about or where it is longer than
    MAX_URL_CHARS; one without a path is asked about with its query string, by those who may send that. query:
    "a=b" or "". host: a name or an address, IPv6 without brackets. domain: the registered domain of the host,
    "" where it has none. public: whether the host can be known outside the network it stands in. whole: the
    URL without its query string, whatever its path and its length.
    """

    url: str
    query: str
    host: str
    domain: str
    public: bool
    is_address: bool
    whole: str = field(default="", compare=False)

    def subjects(self, *, extended: bool = False) -> tuple[Subject, ...]:
        """Return the questions in the order in which they are asked. extended: with the query string."""
        found = []
        sends = extended and self.query and len(self.whole) + 1 + len(self.query) <= MAX_URL_CHARS
        if self.url or sends:
            found.append(Subject(Call.URL, self.whole, self.query if sends else ""))
        found.append(Subject(Call.IP if self.is_address else Call.DOMAIN, self.host))
        if self.domain not in {"", self.host}:
            found.append(Subject(Call.DOMAIN, self.domain))
        return tuple(found)


def parse_url(text: str) -> WebResource:
    """Return what can be asked about a URL as a person, a program or a hostile guest wrote it.

    Without a scheme it is http. Raises BadUrl.
    """
    web = parse_web_address(text)
    domain = "" if web.address else _registered_domain(web.host)
    return WebResource(
        url=web.url if not web.is_root and len(web.url) <= MAX_URL_CHARS else "",
        query=web.query,
        host=web.host,
        domain=domain,
        public=web.address.is_global if web.address else bool(domain),
        is_address=web.address is not None,
        whole=web.url,
    )


@cache
def _suffixes() -> "tldextract.TLDExtract":
    """The public suffix list as tldextract carries it: read when it is first needed, never fetched.

    With the private part of the list: whoever rents foo.github.io is not judged by what github.io is.
    """
    # Here and not above: an SVM that is asked about no web address is spared some 11 MB.
    import tldextract  # noqa: PLC0415

    return tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), include_psl_private_domains=True)


def _registered_domain(host: str) -> str:
    return _suffixes().extract_str(host).top_domain_under_public_suffix
