"""What each client says, and in which words it tells how it went: see clients.test.ts."""

from random import Random

# its repetitions are farther apart than a small window of a compressor reaches
far = Random(1).randbytes(6000) * 100

MESSAGES = ["hello", "κόσμε😀" * 1000, b"\x00\x01\x02", bytes(range(256)) * 16384, "", b"", far, "again " * 50000]


def same(message, echoed):
    assert echoed == message, (type(echoed), len(echoed), "for", len(message))


def closed(code, reason=""):
    print(f"{code} {reason or ''}".strip())


def refused(status):
    print(f"refused {status}")
