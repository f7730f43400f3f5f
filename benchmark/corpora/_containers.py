"""What the headers of audio files promise, and where one file holds several: libsndfile looks at neither."""

from __future__ import annotations

_UNSIZED = 0x7FFFF000
"""Sizes from here on, and 0, are of writers that could not go back to fill them in (SoX writes this one)."""
_PAGE = 27  # bytes of an Ogg page before its table of segments (RFC 3533, section 6)
_BEGINS = 0x02  # flag of a page that begins a stream
_ID3V1 = 128  # bytes of the tag at the end of an MP3, after which one more may have been joined to it
_ID3 = 10  # bytes of the head of an ID3 tag, and of its foot where there is one
_KBITS = (  # of MPEG audio layer III, by its index: ISO 13818-3 (half rates and less), ISO 11172-3
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # Hz, by MPEG version
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")


def untagged(raw: bytes) -> bytes:
    """Return what follows the tags at the beginning; of a pipe, libsndfile does not find the audio behind a picture.

    The size of a tag is four bytes of seven bits (id3.org, ID3v2.4, section 3.1).
    """
    if raw[:3] == b"TAG" and len(raw) > _ID3V1:
        raw = raw[_ID3V1:]
    while raw[:3] == b"ID3" and len(raw) > _ID3:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(raw[6:_ID3], (21, 14, 7, 0), strict=True))
        rest = raw[_ID3 + size + (_ID3 if raw[5] & 0x10 else 0) :].lstrip(b"\0")
        if not rest:
            break
        raw = rest
    return raw


def streams(raw: bytes) -> list[bytes]:
    """Return the parts of chained Ogg (RFC 3533, section 4) and of joined MP3s: decoders stop after the first."""
    if raw[:4] == b"OggS":
        starts = _links(raw) or [0]
        return [raw[start:end] for start, end in zip(starts, [*starts[1:], len(raw)], strict=True)]
    parts = []
    while (end := _counted_bytes(raw)) and _is_another(raw[end:]):
        parts.append(raw[:end])
        raw = untagged(raw[end:])
    return [*parts, raw]


def counts_frames(raw: bytes) -> bool:
    """Whether the first frame of an MP3 counts them all; else their number is an estimate, and no promise."""
    return _count(raw) >= 0


def lacking_bytes(raw: bytes) -> str:
    """Return how much of a WAV, AIFF, RF64, W64 or AU file is there, or nothing when all is."""
    promised = _promised(raw)
    return f"{len(raw)} of {promised} bytes" if promised > len(raw) + 1 else ""  # one may be left out as padding


def page_lacks(raw: bytes) -> int:
    """Return how many bytes the last page of an Ogg file lacks."""
    start = raw.rfind(b"OggS")
    page = raw[start:]
    segments = page[_PAGE : _PAGE + page[_PAGE - 1]] if start >= 0 and len(page) >= _PAGE else b""
    whole = _PAGE + page[_PAGE - 1] + sum(segments) if segments else _PAGE
    return max(0, whole - len(page))


def _links(raw: bytes) -> list[int]:
    """Return where the links of a chain begin: at pages that begin a stream, where the page before does not."""
    starts: list[int] = []
    place, began = 0, False
    while (place := raw.find(b"OggS", place)) >= 0 and place + _PAGE <= len(raw):
        begins = bool(raw[place + 5] & _BEGINS)
        if begins and not began:
            starts.append(place)
        began = begins
        segments = raw[place + _PAGE : place + _PAGE + raw[place + _PAGE - 1]]
        place += _PAGE + len(segments) + sum(segments)
    return starts


def _count(raw: bytes) -> int:
    """Return where an MP3's count of frames and bytes stands in its first frame; -1 where there is none."""
    return max(raw[:64].find(b"Xing"), raw[:64].find(b"Info"))


def _counted_bytes(raw: bytes) -> int:
    """Return how many bytes an MP3 says that it has; 0 where it does not."""
    place = _count(raw)
    if place < 0:
        return 0
    flags = int.from_bytes(raw[place + 4 : place + 8], "big")  # 1: frames are counted, 2: bytes are
    place += 12 if flags & 1 else 8
    return int.from_bytes(raw[place : place + 4], "big") if flags & 2 else 0


def _is_another(behind: bytes) -> bool:
    """Whether what comes after the bytes that an MP3 counts is one more MP3, and no tag at its end."""
    raw = untagged(behind)
    size = _frame_bytes(raw[:4])
    return size > 0 and _frame_bytes(raw[size : size + 4]) > 0  # of one frame: the count may leave out its own


def _frame_bytes(head: bytes) -> int:
    """Return the size of the MPEG layer III frame with this head of four bytes; 0 where it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, kbits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _RATES or kbits in (0, 15) or rate == 3:
        return 0
    whole = version == 3
    return (144_000 if whole else 72_000) * _KBITS[whole][kbits] // _RATES[version][rate] + (head[2] >> 1 & 1)


def _promised(raw: bytes) -> int:
    """Return how many bytes a file should have by its head; 0 where it does not say."""
    head, size = raw[:4], raw[4:8]
    if head == b"RIFF":
        return _sized(int.from_bytes(size, "little"), 8) or _end_of_data(raw)
    if head in (b"RIFX", b"FORM"):
        return _sized(int.from_bytes(size, "big"), 8)
    if head == b"RF64" and raw[12:16] == b"ds64":
        return int.from_bytes(raw[20:28], "little") + 8
    if raw[:16] == _W64:
        return int.from_bytes(raw[16:24], "little")
    if head == b".snd":
        return _sized(int.from_bytes(raw[8:12], "big"), int.from_bytes(size, "big"))
    return 0


def _sized(size: int, before: int) -> int:
    return size + before if 0 < size < _UNSIZED else 0


def _end_of_data(raw: bytes) -> int:
    """Return where the samples of a WAV file end whose head does not say its size."""
    place = 12
    while place + 8 <= len(raw):
        size = int.from_bytes(raw[place + 4 : place + 8], "little")
        if raw[place : place + 4] == b"data":
            return _sized(size, place + 8)
        place += 8 + size + size % 2
    return 0
