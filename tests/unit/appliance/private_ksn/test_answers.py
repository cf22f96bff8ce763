"""The JSON of the OpenTIP dialect."""

from appliance.private_ksn.answers import answer
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.subjects import parse_any

SHA256 = "ab" * 32


def test_a_red_file() -> None:
    """Status, the digest that was asked for and the SHA-256 behind it, the detection."""
    md5 = parse_any("cd" * 16)
    found = answer(md5, Reputation(Zone.RED, "Evil", first_seen=1_900_000_000), parse_any(SHA256).key)
    assert found == {
        "Zone": "Red",
        "FileGeneralInfo": {
            "FileStatus": "Malware",
            "Md5": "cd" * 16,
            "Sha256": SHA256,
            "FirstSeen": "2030-03-17T17:46:40Z",
        },
        "DetectionsInfo": [{"Zone": "Red", "DetectionName": "Evil"}],
    }


def test_a_known_program() -> None:
    """Its category and name; no detection where there is no threat."""
    subject = parse_any(SHA256)
    found = answer(subject, Reputation(Zone.GREY, "", "Browser", "Firefox"), subject.key)
    assert found["FileGeneralInfo"]["FileStatus"] == "NotCategorized"
    assert (found["FileGeneralInfo"]["Category"], found["FileGeneralInfo"]["ProductName"]) == (
        "Browser",
        "Firefox",
    )
    assert "DetectionsInfo" not in found


def test_the_threat_of_an_address_stands_apart_from_its_category() -> None:
    """As a detection, like a file's; clients that look at categories alone find it there, behind."""
    subject = parse_any("http://bad.example/x")
    found = answer(subject, Reputation(Zone.YELLOW, "Thr", "gambling"), subject.key)
    assert found["DetectionsInfo"] == [{"Zone": "Yellow", "DetectionName": "Thr"}]
    assert found["UrlGeneralInfo"]["Categories"] == ["gambling", "Thr"]


def test_addresses_have_sections_of_their_own() -> None:
    """URL, domain and IP, each with its categories."""
    word = Reputation(Zone.ORANGE, "", "phishing")
    sections = {
        text: answer(parse_any(text), word, b"")
        for text in ("http://bad.example/x", "bad.example", "10.0.0.1")
    }
    categories = {"Categories": ["phishing"], "CategoriesWithZone": [{"Name": "phishing", "Zone": "Orange"}]}
    assert list(sections.values()) == [
        {"Zone": "Orange", "UrlGeneralInfo": {"Url": "http://bad.example/x", **categories}},
        {"Zone": "Orange", "DomainGeneralInfo": {"Domain": "bad.example", **categories}},
        {"Zone": "Orange", "IpGeneralInfo": {"Ip": "10.0.0.1", **categories, "Status": "known"}},
    ]
