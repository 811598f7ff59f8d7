"""Objects at rest, as docs/spec/envelope.md describes them, on the package `cryptography`.

    envelope_peer.py

Reads commands from standard input, a JSON object a line, and answers each with one:

    {"op": "seal", "suite": 1 or 2, "pairs": {...}, "plaintext": HEX}
        -> {"body": HEX, "wrapped": HEX}
    {"op": "open", "body": HEX, "wrapped": HEX, "required": {...}}
        -> {"plaintext": HEX} or {"refused": true}

Both parties know the local key "interop": its version 7 is 32 bytes of 0x4B. The pair `tenant` is
required, all others are stored. Streams with AES-256-GCM are those of the package's
Cobblestone256Encryptor and Cobblestone256Decryptor; it has none with ChaCha20-Poly1305, so these
are put together from its HKDFExpand and ChaCha20Poly1305.
"""

import hashlib
import hmac
import json
import os
import sys

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

MAGIC = bytes.fromhex("895345414c570d0a")
LABEL = b"sealwire/v1/envelope/"
KEK, KEY, VERSION = b"\x4b" * 32, b"interop", b"7"
CHUNK, TAG, SALT, COMMITMENT = 16384, 16, 24, 32


def context(name, suite, *fields):
    """The rule of handshake.md: label | 0x00 | suite | fields behind their lengths."""
    parts = [len(field).to_bytes(2, "big") + field for field in fields]
    return LABEL + name + bytes([0, suite]) + b"".join(parts)


def encode(pairs):
    """ENV-3"""
    out = b""
    for name, value in sorted((n.encode(), v.encode()) for n, v in pairs.items()):
        out += len(name).to_bytes(2, "big") + name + len(value).to_bytes(2, "big") + value
    return out


def binding(header, tenant):
    """ENV-15"""
    object_id = header[12:28]
    digest = hmac.new(object_id, context(b"tenant", 0, tenant.encode()), hashlib.sha256).digest()
    return context(b"wrap", 0, object_id, digest, hashlib.sha256(header).digest())


def chacha_keys(key, salt, ctx):
    """ENV-7"""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_CHACHA20_POLY1305\0" + salt + ctx
    output = HKDFExpand(hashes.SHA512(), 76, info).derive(key)
    return ChaCha20Poly1305(output[:32]), int.from_bytes(output[32:44], "big"), output[44:]


def encrypt(suite, key, ctx, plaintext):
    if suite == 1:
        encryptor = Cobblestone256Encryptor(key, ctx)
        return encryptor.update(plaintext) + encryptor.finalize()
    salt = os.urandom(SALT)
    aead, base, commitment = chacha_keys(key, salt, ctx)
    out = salt + commitment
    for number in range(len(plaintext) // CHUNK + 1):
        nonce = (base ^ number).to_bytes(12, "big")
        chunk = plaintext[number * CHUNK : (number + 1) * CHUNK]
        out += aead.encrypt(nonce, chunk, None)
    return out


def decrypt(suite, key, ctx, stream):
    if suite == 1:
        decryptor = Cobblestone256Decryptor(key, ctx)
        return decryptor.update(stream) + decryptor.finalize()
    aead, base, commitment = chacha_keys(key, stream[:SALT], ctx)
    if not hmac.compare_digest(commitment, stream[SALT : SALT + COMMITMENT]):
        raise InvalidTag
    chunks, out = stream[SALT + COMMITMENT :], b""
    for number in range(len(chunks) // (CHUNK + TAG) + 1):
        slot = chunks[number * (CHUNK + TAG) : (number + 1) * (CHUNK + TAG)]
        out += aead.decrypt((base ^ number).to_bytes(12, "big"), slot, None)
    return out


def seal(suite, pairs, plaintext):
    required = {"tenant": pairs["tenant"]} if "tenant" in pairs else {}
    stored = encode({name: value for name, value in pairs.items() if name not in required})
    # ENV-1
    header = MAGIC + bytes([1, suite, 0, 0]) + os.urandom(16) + len(stored).to_bytes(4, "big") + stored
    key = os.urandom(32)
    body = header + encrypt(suite, key, context(b"body", suite, header, encode(required)), plaintext)
    w = binding(header, required.get("tenant", ""))
    # ENV-27
    return body, encrypt(1, KEK, context(b"local", 0, KEY, VERSION, w), key)


def open_object(body, wrapped, required):
    # ENV-2
    if body[:9] != MAGIC + b"\1" or body[9] not in (1, 2) or body[10:12] != b"\0\0":
        raise InvalidTag
    suite, end = body[9], 32 + int.from_bytes(body[28:32], "big")
    header = body[:end]
    w = binding(header, required.get("tenant", ""))
    key = decrypt(1, KEK, context(b"local", 0, KEY, VERSION, w), wrapped)
    return decrypt(suite, key, context(b"body", suite, header, encode(required)), body[end:])


def answer(command):
    if command["op"] == "seal":
        plaintext = bytes.fromhex(command["plaintext"])
        body, wrapped = seal(command["suite"], command["pairs"], plaintext)
        return {"body": body.hex(), "wrapped": wrapped.hex()}
    body, wrapped = bytes.fromhex(command["body"]), bytes.fromhex(command["wrapped"])
    try:
        return {"plaintext": open_object(body, wrapped, command["required"]).hex()}
    except InvalidTag:
        return {"refused": True}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
