"""EICAR in a plain file, in archives within archives, and in a document."""

from pathlib import Path

from tests.support.archives import compressed, tarred, zipped
from tests.support.contents import EICAR

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_OOXML = "http://schemas.openxmlformats.org"
_TYPES = "application/vnd.openxmlformats-officedocument"


def plant(directory: Path) -> list[Path]:
    """Make files in `directory` that hold EICAR, and harmless ones beside them; the former are returned."""
    inner = zipped({"readme.txt": b"nothing here", "tools/eicar.com": EICAR})
    bad = {
        "eicar.com": EICAR,
        "eicar.zip": zipped({"eicar.com": EICAR}),
        "nested.tar.gz": compressed(tarred({"backup/inner.zip": inner}), "gz"),
        "deeper.zip": zipped({"a/nested.tar.xz": compressed(tarred({"b/inner.zip": inner}), "xz")}),
        "letter.docx": document(EICAR),
    }
    harmless = {
        "letter-without.docx": document(b"an attachment"),
        "first-of-two.txt": b"the same content under two names\n",
        "second-of-two.txt": b"the same content under two names\n",
        "empty": b"",
    }
    for name, content in (bad | harmless).items():
        (directory / name).write_bytes(content)
    return [directory / name for name in bad]


def document(attachment: bytes) -> bytes:
    """A Word document (Office Open XML, ECMA-376) with an embedded file."""
    types = (
        f'{_HEAD}<Types xmlns="{_OOXML}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="bin" ContentType="{_TYPES}.oleObject"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_TYPES}.wordprocessingml.document.main+xml"/>'
        "</Types>"
    )
    text = (
        f'{_HEAD}<w:document xmlns:w="{_OOXML}/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>Please see the attachment.</w:t></w:r></w:p></w:body></w:document>"
    )
    return zipped(
        {
            "[Content_Types].xml": types.encode(),
            "_rels/.rels": _relationship("officeDocument", "word/document.xml"),
            "word/document.xml": text.encode(),
            "word/_rels/document.xml.rels": _relationship("oleObject", "embeddings/oleObject1.bin"),
            "word/embeddings/oleObject1.bin": attachment,
        }
    )


def _relationship(kind: str, target: str) -> bytes:
    kind = f"{_OOXML}/officeDocument/2006/relationships/{kind}"
    return (
        f'{_HEAD}<Relationships xmlns="{_OOXML}/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{kind}" Target="{target}"/></Relationships>'
    ).encode()
