"""The classical ratchet of the package `doubleratchet`, with its recommended parts.

Called as the other programs are: SUITE NAME PEER MILLISECONDS BYTES FOLDER. Prints one figure.
"""

import asyncio
import json
import sys
import time

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from doubleratchet import DoubleRatchet, EncryptedMessage
from doubleratchet.recommended import (
    HashFunction,
    aead_aes_hmac,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)

PAYLOAD = bytes([0xA5]) * 700
ASSOCIATED = b"both parties"


class Hashed:
    """SHA-256, and one label for all: nothing is compared with another."""

    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256

    @staticmethod
    def _get_info():
        return b"benchmark"


class Aead(Hashed, aead_aes_hmac.AEAD):
    pass


class RootKdf(Hashed, kdf_hkdf.KDF):
    pass


class ChainKdf(Hashed, kdf_separate_hmacs.KDF):
    pass


class Ratchet(DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data, header):
        counters = header.previous_sending_chain_length, header.sending_chain_length
        encoded = b"".join(n.to_bytes(4, "big") for n in counters)
        return associated_data + header.ratchet_pub + encoded


async def pair():
    """Both sides after an exchange of messages."""
    secret = X25519PrivateKey.generate()
    settings = {
        "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
        "root_chain_kdf": RootKdf,
        "message_chain_kdf": ChainKdf,
        "message_chain_constant": b"\x01\x02",
        "dos_protection_threshold": 1000,
        "max_num_skipped_message_keys": 2000,
        "aead": Aead,
        "shared_secret": bytes(range(32)),
        "associated_data": ASSOCIATED,
    }
    public = secret.public_key().public_bytes_raw()
    one, message = await Ratchet.encrypt_initial_message(
        recipient_ratchet_pub=public, message=PAYLOAD, **settings
    )
    other, opened = await Ratchet.decrypt_initial_message(
        own_ratchet_priv=secret.private_bytes_raw(), message=message, **settings
    )
    assert opened == PAYLOAD
    for _ in range(4):
        await send(other, one)
        await send(one, other)
    return one, other


async def send(sender, receiver):
    """One message, sealed and opened."""
    message: EncryptedMessage = await sender.encrypt_message(PAYLOAD, ASSOCIATED)
    if await receiver.decrypt_message(message, ASSOCIATED) != PAYLOAD:
        raise ValueError("another plaintext")


async def burst(one, other):
    """Messages one way."""
    for _ in range(10):
        await send(one, other)


async def ping(one, other):
    """Messages in turn."""
    for _ in range(5):
        await send(other, one)
        await send(one, other)


async def main(suite, name, peer, milliseconds, _bytes, _folder):
    """The upper decile over slices of ten messages, as the others take it."""
    work = {"burst": burst, "ping": ping}[name]
    sides = await pair()
    rates = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < int(milliseconds) / 1000 or len(rates) < 3:
        start = time.perf_counter()
        await work(*sides)
        rates.append(10 / (time.perf_counter() - start))
    print(json.dumps({"value": sorted(rates)[len(rates) * 9 // 10]}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
