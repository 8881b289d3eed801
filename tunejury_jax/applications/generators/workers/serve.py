"""The worker's side of the protocol, for any generator. Standard library only, Python 3.8 or newer; copy it as it is.

A worker says hello in one line of JSON, then answers every request, a line of JSON each, in the same order:

    -> {"protocol": 1, "name": "my-generator", "sample_rate_hz": 16000, "channels": 1, "longest_s": 10.0,
        "provenance": {"weights": "my-generator 1.0", "steps": 25}}
    <- {"id": 1, "prompt": "calm piano", "seed": 42, "duration_s": 10.0, "path": "/tmp/.../1.wav"}
    -> {"id": 1, "path": "/tmp/.../1.wav"}      or      {"id": 1, "error": "out of memory"}

It ends when its standard input does.
"""

import json
import os
import queue
import struct
import sys
import threading

PROTOCOL = 1


def serve(load, name, sample_rate_hz, channels, longest_s, provenance):
    """Answers requests until whoever asks is gone.

    Args:
        load: Called once; returns a function of (prompt, seed, duration_s) that makes a clip: bytes, little-endian
            float32, the channels of a sample side by side. It may be longer than asked for; it is cut.
        name: Of the generator.
        sample_rate_hz: Of its clips.
        channels: Of its clips.
        longest_s: The longest clip it makes, in seconds.
        provenance: What changes its clips besides prompt and seed: weights, steps, guidance, precision. A collection
            of clips is only continued by a worker that says the same.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    requests = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()

    def say(document):
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    make = load()
    hello = {"name": name, "sample_rate_hz": sample_rate_hz, "channels": channels, "longest_s": longest_s}
    say({"protocol": PROTOCOL, "provenance": provenance, **hello})
    while True:
        request = requests.get()
        try:
            clip = make(request["prompt"], request["seed"], request["duration_s"])
            write_wav(request["path"], clip, sample_rate_hz, channels)
            say({"id": request["id"], "path": request["path"]})
        except Exception as error:
            say({"id": request["id"], "error": f"{type(error).__name__}: {error}"[:2000]})


def write_wav(path, clip, sample_rate_hz, channels):
    """Writes float32 samples as they are; the standard library's own writer knows integers only."""
    frame = 4 * channels
    shape = struct.pack("<HHIIHH", 3, channels, sample_rate_hz, sample_rate_hz * frame, frame, 32)
    body = b"WAVE" + b"".join(
        tag + struct.pack("<I", len(data)) + data
        for tag, data in ((b"fmt ", shape), (b"fact", struct.pack("<I", len(clip) // frame)), (b"data", clip))
    )
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", len(body)) + body)


def _read(requests):
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # at once, in the middle of a clip too
