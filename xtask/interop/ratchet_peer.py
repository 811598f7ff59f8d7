"""A party of X3DH and the classical Double Ratchet, over standard input and output.

X3DH is that of the package `x3dh`, the ratchet that of `doubleratchet`, with its
recommended KDFs. Ours are only what the packages leave to an application: labels,
the encoding of a message, and the AEAD.

Each line in is one command, a JSON object with `op`; each line out is its answer.
Bytes are in hex. Beginning anew forgets what was.

    keys     one_time       a responder's new keys; answers identity, signed and
                            one_time (null unless asked for)
    initiate suite, bundle, data
                            `bundle` is the answer to `keys`, with the private
                            half identity_secret: it signs the signed prekey, which
                            this package demands and our agreement does not.
                            Answers hello, sk, frame
    respond  suite, hello, frame
                            answers sk, data
    seal     data           answers frame
    open     frame          answers data
    skipped                 answers skipped, how many keys are stored

What is refused is answered {"error": "refused" | "duplicate" | "skip limit"}, and
the party goes on. It ends with its input.
"""

import asyncio
import hashlib
import json
import sys
import warnings

import doubleratchet
import x3dh
import xeddsa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from doubleratchet.recommended import (
    HashFunction,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)

# The package warns of a burst that it does not derive keys for; we count errors.
warnings.simplefilter("ignore")

AEADS = {1: AESGCM, 2: ChaCha20Poly1305}
CLASSES = (2048, 4096, 16384, 65536)
LEAD = b"\x01\x02"  # version and type, RAT-1
HEADER, TAG = 45, 16
NO_KEM = bytes(5)  # epoch and kind of a header
MAX_SKIP, MAX_STORED = 1000, 2000  # RAT-22
INFO = b"sealwire interop x3dh"


class Refused(Exception):
    """A message that is none."""


def demand(condition, rule):
    """Refuses, and says what was broken."""
    if not condition:
        raise Refused(rule)


# What the packages leave open


def context(name, suite):
    """The label of one use under one suite."""
    return b"sealwire/v1/" + name + b"\0" + bytes([suite])


def hkdf(salt, secret, info, length):
    """HKDF-SHA-256."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


class ChainKdf(kdf_separate_hmacs.KDF):
    """RAT-11."""

    CONSTANT = b"\x02\x01"  # the next chain key, then the message key

    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256


class RootKdf(kdf_hkdf.KDF):
    """RAT-8, without the header key, which comes last."""

    suite: int

    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256

    @classmethod
    def _get_info(cls):
        return context(b"ratchet/root", cls.suite)


class Aead(doubleratchet.AEAD):
    """RAT-12, with the header in clear in the place of the sealed one."""

    suite: int

    @classmethod
    def cipher(cls, message_key, associated_data):
        """The cipher of one message, and its nonce."""
        salt = hashlib.sha256(associated_data[-HEADER:]).digest()
        out = hkdf(salt, message_key, context(b"ratchet/message", cls.suite), 44)
        return AEADS[cls.suite](out[:32]), out[32:]

    @classmethod
    async def encrypt(cls, plaintext, key, associated_data):
        cipher, nonce = cls.cipher(key, associated_data)
        return cipher.encrypt(nonce, plaintext, associated_data)

    @classmethod
    async def decrypt(cls, ciphertext, key, associated_data):
        cipher, nonce = cls.cipher(key, associated_data)
        try:
            return cipher.decrypt(nonce, ciphertext, associated_data)
        except InvalidTag as error:
            raise doubleratchet.AuthenticationFailedException from error


def of_suite(base, suite):
    """The class with its suite, which the packages have no place for."""
    return type(base.__name__, (base,), {"suite": suite})


def encode_header(header):
    """RAT-1."""
    counters = header.previous_sending_chain_length, header.sending_chain_length
    return header.ratchet_pub + b"".join(n.to_bytes(4, "big") for n in counters) + NO_KEM


class DoubleRatchet(doubleratchet.DoubleRatchet):
    """The ratchet with our associated data."""

    @staticmethod
    def _build_associated_data(associated_data, header):
        return associated_data + LEAD + encode_header(header)  # RAT-13


class State(x3dh.BaseState):
    """X3DH with X25519 keys as they are."""

    @staticmethod
    def _encode_public_key(key_format, pub):
        return pub

    @classmethod
    def new(cls):
        """A new identity."""
        curve, hash_function = x3dh.IdentityKeyFormat.CURVE_25519, x3dh.HashFunction.SHA_256
        return cls.create(curve, hash_function, INFO)


# Messages


def pad(content):
    """RAT-4: content, 0x80, zeros, up to the length of a frame."""
    beside = len(LEAD) + HEADER + TAG
    length = next(size for size in CLASSES if size > beside + len(content))
    return (content + b"\x80").ljust(length - beside, b"\0")


def unpad(padded):
    """What was padded."""
    content = padded.rstrip(b"\0")
    demand(content[-1:] == b"\x80", "RAT-4: padding ends in 0x80 and zeros")
    return content[:-1]


def encode(message):
    """A frame."""
    return LEAD + encode_header(message.header) + message.ciphertext


def decode(frame):
    """The message in a frame."""
    demand(len(frame) in CLASSES, "RAT-4: the length of a frame")
    demand(frame[:2] == LEAD, "RAT-1: version and type")
    header, body = frame[2 : 2 + HEADER], frame[2 + HEADER :]
    demand(header[40:] == NO_KEM, "RAT-1: there is no KEM here")
    pn, n = int.from_bytes(header[32:36], "big"), int.from_bytes(header[36:40], "big")
    return doubleratchet.EncryptedMessage(doubleratchet.Header(header[:32], pn, n), body)


class Peer:
    """One party; a method for each command."""

    ERRORS = {
        doubleratchet.DuplicateMessageException: "duplicate",
        doubleratchet.DoSProtectionException: "skip limit",
        doubleratchet.AuthenticationFailedException: "refused",
        x3dh.KeyAgreementException: "refused",
        ValueError: "refused",  # of `cryptography`: a secret of zeros
        Refused: "refused",
    }

    def __init__(self):
        self.state = self.ratchet = self.h_ad = None

    async def answer(self, command):
        """The answer to one command."""
        arguments = dict(command)
        method = getattr(self, "do_" + arguments.pop("op"))
        try:
            return await method(**arguments)
        except tuple(self.ERRORS) as error:
            return {"error": self.ERRORS[type(error)], "why": str(error)}

    def settings(self, suite, secret, associated_data):
        """What both beginnings of a ratchet take; keeps H_AD."""
        self.h_ad = hashlib.sha256(associated_data).digest()
        root = hkdf(bytes(32), secret, context(b"ratchet/start", suite), 96)[:32]  # RAT-5
        return {
            "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
            "root_chain_kdf": of_suite(RootKdf, suite),
            "message_chain_kdf": ChainKdf,
            "message_chain_constant": ChainKdf.CONSTANT,
            "dos_protection_threshold": MAX_SKIP,
            "max_num_skipped_message_keys": MAX_STORED,
            "aead": of_suite(Aead, suite),
            "shared_secret": root,
            "associated_data": self.h_ad,
        }

    async def do_keys(self, one_time):
        self.state = State.new()
        self.state.generate_pre_keys(1 if one_time else 0)
        bundle = self.state.bundle
        one_time = next((key.hex() for key in bundle.pre_keys), None)
        return {
            "identity": bundle.identity_key.hex(),
            "signed": bundle.signed_pre_key.hex(),
            "one_time": one_time,
        }

    async def do_initiate(self, suite, bundle, data):
        keys = {name: value and bytes.fromhex(value) for name, value in bundle.items()}
        signer = xeddsa.priv_force_sign(keys["identity_secret"], False)
        signature = xeddsa.ed25519_priv_sign(signer, keys["signed"])
        one_time = frozenset({keys["one_time"]} - {None})
        found = x3dh.Bundle(keys["identity"], keys["signed"], signature, one_time)
        agreed = State.new().get_shared_secret_active(found, require_pre_key=bool(one_time))
        secret, associated_data, header = await agreed
        self.ratchet, message = await DoubleRatchet.encrypt_initial_message(
            recipient_ratchet_pub=found.signed_pre_key,
            message=pad(bytes.fromhex(data)),
            **self.settings(suite, secret, associated_data),
        )
        hello = {
            "identity": header.identity_key.hex(),
            "ephemeral": header.ephemeral_key.hex(),
            "signed": header.signed_pre_key.hex(),
            "one_time": header.pre_key and header.pre_key.hex(),
        }
        return {"hello": hello, "sk": secret.hex(), "frame": encode(message).hex()}

    async def do_respond(self, suite, hello, frame):
        keys = {name: value and bytes.fromhex(value) for name, value in hello.items()}
        header = x3dh.Header(
            keys["identity"], keys["ephemeral"], keys["signed"], keys["one_time"]
        )
        agreed = self.state.get_shared_secret_passive(
            header, require_pre_key=header.pre_key is not None
        )
        secret, associated_data, signed = await agreed
        self.ratchet, content = await DoubleRatchet.decrypt_initial_message(
            own_ratchet_priv=signed.priv,
            message=decode(bytes.fromhex(frame)),
            **self.settings(suite, secret, associated_data),
        )
        return {"sk": secret.hex(), "data": unpad(content).hex()}

    async def do_seal(self, data):
        message = await self.ratchet.encrypt_message(pad(bytes.fromhex(data)), self.h_ad)
        return {"frame": encode(message).hex()}

    async def do_open(self, frame):
        message = decode(bytes.fromhex(frame))
        content = await self.ratchet.decrypt_message(message, self.h_ad)
        return {"data": unpad(content).hex()}

    async def do_skipped(self):
        return {"skipped": len(self.ratchet.model.skipped_message_keys)}


async def main():
    """Answers until the input ends."""
    peer = Peer()
    for line in sys.stdin:
        print(json.dumps(await peer.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
