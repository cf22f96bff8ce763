"""Messages, whole and in pieces, and what is none."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.disk_reader.protocol import Ended, Garbled, Inbox, natural, packed, receive, send, sentence


def test_a_message_comes_as_it_was_sent() -> None:
    """With its bytes, in however many reads; then the end."""
    came, goes = os.pipe()
    send(goes, {"say": "content", "path": "/\udcff"}, b"bytes")
    send(goes, {"say": "more"})
    os.close(goes)
    inbox = Inbox()
    assert receive(came, inbox) == ({"say": "content", "path": "/\udcff"}, b"bytes")
    assert receive(came, inbox) == ({"say": "more"}, b"")
    with pytest.raises(Ended):
        receive(came, inbox)
    os.close(came)


def test_a_message_in_pieces_is_taken_once_it_is_whole() -> None:
    """Byte by byte."""
    inbox = Inbox()
    said = packed({"a": 1}, b"xy") + b"xy"
    for byte in said[:-1]:
        inbox.feed(bytes([byte]))
        assert inbox.take() is None
    inbox.feed(said[-1:])
    assert inbox.take() == ({"a": 1}, b"xy")


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_message_or_garbled(data: bytes) -> None:
    """Nothing else is raised, and nothing is waited for that is longer than a message may be."""
    inbox = Inbox()
    inbox.feed(data)
    try:
        while inbox.take() is not None:
            pass
    except Garbled:
        pass


def test_numbers_and_sentences_are_held_to_their_form() -> None:
    """A sentence is one that acts on no terminal."""
    for wrong in (-1, 1 << 64, True, "1", None, 1.0):
        with pytest.raises(Garbled):
            natural(wrong)
    assert sentence("a\x1b[2Jb" + "x" * 1000)[:6] == "a?[2Jb"
    with pytest.raises(Garbled):
        sentence(None)
