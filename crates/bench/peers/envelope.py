"""Objects at rest with the package `cryptography`, which has the same stream, C2SP
chunked-encryption with AES-256-GCM: neither head nor key record.

Called as the other programs are: SUITE NAME PEER MILLISECONDS BYTES FOLDER. Prints one figure.
"""

import json
import os
import sys
import time

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor

KIB = 1024
CONTEXT = b"acme"
# What is read, sealed and written at once, and that the package may hold back a chunk.
PIECE, ROOM = 256 * KIB, 320 * KIB


def crypt(context, data, out):
    """All of it, into memory that was used before. Says how much that is."""
    end = context.update_into(data, out)
    last = context.finalize()
    out[end : end + len(last)] = last
    return end + len(last)


def copy(context, read, write):
    """From one file to another, into memory that was used before."""
    piece, out = memoryview(bytearray(PIECE)), memoryview(bytearray(ROOM))
    while length := read(piece):
        write(out[: context.update_into(piece[:length], out)])
    write(context.finalize())


def rate(milliseconds, work):
    """The upper decile over slices of a millisecond of processor time or more, as the others take
    it.
    """
    count, rates = 1, []
    warm = time.perf_counter()
    while time.perf_counter() - warm < milliseconds / 4000:
        start = time.process_time()
        for _ in range(count):
            work()
        if time.process_time() - start < 0.001:
            count *= 2
    begin = time.perf_counter()
    while time.perf_counter() - begin < milliseconds / 1000 or len(rates) < 3:
        start = time.process_time()
        for _ in range(count):
            work()
        rates.append(count / (time.process_time() - start))
    return sorted(rates)[len(rates) * 9 // 10]


def memory(name, milliseconds):
    length = {"64KiB": 64 * KIB, "64MiB": 64 * KIB * KIB}[name.split()[1]]
    content, key = bytes([0xA5]) * length, Cobblestone256Encryptor.generate_key()
    out = memoryview(bytearray(length + length // 1024 + ROOM))
    if name.startswith("seal"):
        work = lambda: crypt(Cobblestone256Encryptor(key, CONTEXT), content, out)
    else:
        sealed = bytes(out[: crypt(Cobblestone256Encryptor(key, CONTEXT), content, out)])
        work = lambda: crypt(Cobblestone256Decryptor(key, CONTEXT), sealed, out)
    return rate(milliseconds, work) * length


class Source:
    """So many bytes to read, which stand nowhere."""

    def __init__(self, length):
        self.left = length

    def readinto(self, out):
        length = min(self.left, len(out))
        self.left -= length
        return length


def file(name, length, folder):
    plain, sealed, opened = (os.path.join(folder, it) for it in ("plain", "sealed", "opened"))
    key = Cobblestone256Encryptor.generate_key()
    if name.startswith("seal"):
        context, before, after = Cobblestone256Encryptor(key, CONTEXT), plain, sealed
    else:
        with open(sealed, "wb", buffering=0) as out:
            copy(Cobblestone256Encryptor(key, CONTEXT), Source(length).readinto, out.write)
        context, before, after = Cobblestone256Decryptor(key, CONTEXT), sealed, opened
    start = time.process_time()
    with open(before, "rb", buffering=0) as read, open(after, "wb", buffering=0) as write:
        copy(context, read.readinto, write.write)
    taken = time.process_time() - start
    if abs(os.path.getsize(after) - length) > length // 1000 + ROOM:
        raise ValueError("another length")
    os.remove(sealed)
    if after == opened:
        os.remove(opened)
    return length / taken


def main(_suite, name, _peer, milliseconds, length, folder):
    if name.endswith("mem"):
        value = memory(name, int(milliseconds))
    else:
        value = file(name, int(length), folder)
    print(json.dumps({"value": value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
