"""MIDI files that fit into a line."""

__all__ = ["midi"]


def midi(note: int = 60) -> bytes:
    """One track that plays one note for a second."""
    events = bytes([0, 0x90, note, 100, 0x87, 0x40, 0x80, note, 0, 0, 0xFF, 0x2F, 0])  # a delta of 960 ticks
    return b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 0x01, 0xE0]) + b"MTrk" + len(events).to_bytes(4) + events
