"""Sealwire's hybrid handshake and its records, written from docs/spec alone.

The symmetric state of Noise is that of the package `noiseprotocol`, the
primitives are those of `cryptography`, and the rest is here, beside the ids of
the rules that it follows: HS-n in docs/spec/handshake.md, REC-n in
docs/spec/record.md. `hybrid_peer.py` speaks it.

Made to be read and to test against; no constant time, nothing is wiped.
"""

import functools
import hashlib
import hmac
import os
import types
import warnings

# `noiseprotocol` still asks `cryptography` for things under their old names.
warnings.simplefilter("ignore")

from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: E402
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import (  # noqa: E402
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: E402
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: E402
    AESGCM,
    ChaCha20Poly1305,
)
from cryptography.hazmat.primitives.hashes import SHA256  # noqa: E402
from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: E402
from noise.backends.default.ciphers import AESGCMCipher, ChaCha20Cipher  # noqa: E402
from noise.backends.default.hashes import SHA256Hash, hmac_hash  # noqa: E402
from noise.functions.hash import hkdf as noise_hkdf  # noqa: E402
from noise.state import SymmetricState  # noqa: E402

XX, IK = 1, 2
INITIATOR, RESPONDER = 1, 2
SUITES = {
    1: types.SimpleNamespace(name="AESGCM", noise=AESGCMCipher, record=AESGCM),
    2: types.SimpleNamespace(name="ChaChaPoly", noise=ChaCha20Cipher, record=ChaCha20Poly1305),
}
NAMES = {XX: "XXhfs", IK: "IKhfs+psk0"}  # HS-1
TOKENS = {  # HS-1
    XX: ["e e1", "e ee ekem1 s es", "s se"],
    IK: ["psk e es e1 s ss", "e ee ekem1 se"],
}
LENGTHS = {XX: [1216, 1200, 64], IK: [1296, 1152]}  # HS-10
MAX_PAYLOAD = 32768  # HS-7
KX_ID = 7
KEM_KEY, KEM_CIPHERTEXT, TAG = 1184, 1088, 16

# A point of order 8, as RFC 7748 writes it.
LOW_ORDER = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")


class Wrong(Exception):
    """What the peer sent is not what the specification demands."""


class Refused(Exception):
    """The peer refused."""


def demand(condition, rule):
    """Fails with what was broken."""
    if not condition:
        raise Wrong(rule)


# Notation


def context(label, suite, *fields):
    """The label, a zero, the suite, and each field behind its length."""
    joined = b"".join(len(field).to_bytes(2, "big") + field for field in fields)
    return label.encode() + bytes([0, suite]) + joined


def hkdf(salt, secret, info):
    """HKDF-SHA256 to 32 bytes."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def sha256(data):
    """SHA-256."""
    return hashlib.sha256(data).digest()


# Keys


def x25519_key(data):
    """HS-15: canonical and not of small order."""
    demand(int.from_bytes(data, "little") < 2**255 - 19, "HS-15: an X25519 key is canonical")
    key = X25519PublicKey.from_public_bytes(data)
    dh(X25519PrivateKey.generate(), key)  # Scalars are multiples of 8.
    return key


def dh(secret, public):
    """HS-15: X25519, which `cryptography` refuses to end with all zeros."""
    try:
        return secret.exchange(public)
    except ValueError as error:
        raise Wrong("HS-15: an X25519 key is not of small order") from error


def kem_key(data):
    """HS-15: each of the 768 coefficients, 12 bits each, is below 3329."""
    bits = int.from_bytes(data[:1152], "little")
    coefficients = ((bits >> 12 * index) & 0xFFF for index in range(768))
    demand(all(value < 3329 for value in coefficients), "HS-15: an ML-KEM key is canonical")
    return MLKEM768PublicKey.from_public_bytes(data)


def is_small_order(point):
    """Whether an Ed25519 point has order 1, 2, 4 or 8: its y tells, whatever the sign."""
    p = 2**255 - 19
    y8 = int("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
    y = int.from_bytes(point, "little") % 2**255 % p
    return y in (0, 1, p - 1, y8, p - y8)


def verify(key, signature, message):
    """HS-9: strict; `cryptography` itself demands a canonical S."""
    demand(not is_small_order(key), "HS-9: the identity key is not of small order")
    demand(not is_small_order(signature[:32]), "HS-9: R is not of small order")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except Exception as error:
        raise Wrong("HS-9: the proof verifies") from error


def draw(length):
    """HS-14: randomness that is not all-zero."""
    drawn = os.urandom(length)
    demand(any(drawn), "HS-14: the generator works")
    return drawn


class Agent:
    """Who a side is; a peer is an agent without secrets."""

    def __init__(self, name, secrets=None, card=None):
        self.name, self.kx_id = name, KX_ID
        self.log = b"the log of alice" if name == b"alice" else None
        self.evidence = b"evidence of " + name
        if secrets is not None:
            self.identity_secret = Ed25519PrivateKey.from_private_bytes(secrets[:32])
            self.static_secret = X25519PrivateKey.from_private_bytes(secrets[32:64])
            self.kem_secret = MLKEM768PrivateKey.from_seed_bytes(secrets[64:])
            keys = self.identity_secret, self.static_secret, self.kem_secret
            card = b"".join(key.public_key().public_bytes_raw() for key in keys)
        demand(len(card) == 64 + KEM_KEY, "a card of this test has three keys")
        self.card, self.card_hash = card, sha256(card)
        self.identity, self.static, self.kem = card[:32], card[32:64], card[64:]


# Preamble


def before_gate(pattern, suite, kx_id, ciphertext):
    """The preamble up to the gate, offering both suites."""
    head = bytes([1, suite, pattern, 2, 1, 2])
    return head + kx_id.to_bytes(4, "big") + ciphertext


def gate_key(kem):
    """HS-5."""
    return sha256(context("sealwire/v1/noise/gate", 0, kem))


def gate(kem, preamble, message1):
    """HS-5."""
    return hmac.digest(gate_key(kem), preamble + message1, "sha256")


def psk0(suite, kem, ciphertext, shared):
    """HS-6."""
    label = "sealwire/v1/noise/psk0"
    info = context(label, suite, sha256(kem), sha256(ciphertext))
    return hkdf(label.encode(), shared, info)


# Payload (HS-7)


def cbor(item):
    """A byte string in canonical CBOR, or null."""
    if item is None:
        return b"\xf6"
    length = len(item)
    if length < 24:
        return bytes([0x40 + length]) + item
    if length < 256:
        return bytes([0x58, length]) + item
    return b"\x59" + length.to_bytes(2, "big") + item


def encode_payload(items):
    """An array of five."""
    demand(len(items) == 5, "HS-7: an array of five")
    return b"\x85" + b"".join(map(cbor, items))


def decode_payload(data):
    """Reads leniently, then demands that the same bytes come out again."""
    demand(data[:1] == b"\x85" and len(data) <= MAX_PAYLOAD, "HS-7: an array of five")
    items, rest = [], data[1:]
    for _ in range(5):
        kind, rest = rest[:1], rest[1:]
        if kind == b"\xf6":
            items.append(None)
            continue
        demand(kind and 0x40 <= kind[0] <= 0x59, "HS-7: byte strings and null")
        size = {0x58: 1, 0x59: 2}.get(kind[0], 0)
        length = int.from_bytes(rest[:size], "big") if size else kind[0] - 0x40
        items.append(rest[size : size + length])
        rest = rest[size + length :]
    demand(not rest and encode_payload(items) == data, "HS-7: canonical CBOR")
    return items


# Handshake


class Handshake:
    """One side. `write` and `read` take the messages in turn, `finish` ends it."""

    def __init__(self, role, pattern, suite, preamble, me, peer, psk, draws, fault=None):
        self.role, self.pattern, self.suite = role, pattern, suite
        self.me, self.peer, self.psk, self.fault = me, peer, psk, fault
        self.number = 0
        self.ephemeral_secret = X25519PrivateKey.from_private_bytes(draws[:32])
        self.ephemeral = self.ephemeral_secret.public_key().public_bytes_raw()
        if fault == "low-order-e":
            self.ephemeral = LOW_ORDER
        if role == INITIATOR:
            self.kem_secret = MLKEM768PrivateKey.from_seed_bytes(draws[32:96])
        self.remote_ephemeral = self.remote_static = self.remote_kem = None
        self.noise = self.symmetric_state()
        # HS-4
        self.noise.mix_hash(context("sealwire/v1/noise/prologue", suite, preamble))
        if pattern == IK:  # The initiator knows the responder's static key.
            self.remote_static = x25519_key(peer.static) if role == INITIATOR else None
            self.noise.mix_hash(peer.static if role == INITIATOR else me.static)

    def symmetric_state(self):
        """That of `noiseprotocol`, which cannot parse the name but can hash it."""
        name = f"Noise_{NAMES[self.pattern]}_25519+MLKEM768_{SUITES[self.suite].name}_SHA256"
        hmac_sha256 = functools.partial(hmac_hash, algorithm=SHA256Hash().fn)
        protocol = types.SimpleNamespace(
            name=name.encode(),
            hash_fn=SHA256Hash(),
            hkdf=functools.partial(noise_hkdf, hmac_hash_fn=hmac_sha256),
            cipher_class=SUITES[self.suite].noise,
            handshake_state=types.SimpleNamespace(initiator=True),  # For `split`.
            handshake_done=lambda: None,
        )
        return SymmetricState.initialize_symmetric(protocol)

    def begin(self):
        """The tokens of the next message, and what a proof in it covers of the past."""
        self.number += 1
        return TOKENS[self.pattern][self.number - 1].split(), self.noise.get_handshake_hash()

    def has_payload(self):
        """HS-10: XX 1 has none."""
        return (self.pattern, self.number) != (XX, 1)

    def write(self):
        """The next message, which is ours."""
        tokens, h = self.begin()
        message = b"".join([self.write_token(token) for token in tokens])
        payload = b""
        if self.has_payload():
            me, card_hash = self.me, self.card_hash(self.peer)
            name = b"mallory" if self.fault == "proof" else me.name
            e = self.ephemeral
            signed = self.proof_input(self.role, h, e, me.static, name, self.peer.name)
            proof = me.identity_secret.sign(signed)
            payload = encode_payload([me.card, me.log, me.evidence, card_hash, proof])
        return message + self.noise.encrypt_and_hash(payload)

    def read(self, message):
        """Takes the next message, which is the peer's, and checks who wrote it."""
        tokens, h = self.begin()
        most = MAX_PAYLOAD if self.has_payload() else 0
        length = len(message) - LENGTHS[self.pattern][self.number - 1]
        demand(0 <= length <= most, "HS-10: the length of a message")
        rest = message
        for token in tokens:
            rest = self.read_token(token, rest)
        payload = self.noise.decrypt_and_hash(rest)
        if not self.has_payload():
            return
        card, log, evidence, card_hash, proof = decode_payload(payload)
        demand(proof is not None and len(proof) == 64, "HS-7: a proof of 64 bytes")
        demand(card_hash == self.card_hash(self.me), "HS-7: the hash of the responder's card")
        peer = self.peer
        demand((card, log, evidence) == (peer.card, peer.log, peer.evidence), "another payload")
        static = self.remote_static.public_bytes_raw()
        demand(static == peer.static, "HS-9: the static key is the one on the card")
        sender = INITIATOR + RESPONDER - self.role
        signed = self.proof_input(sender, h, message[:32], static, peer.name, self.me.name)
        verify(peer.identity, proof, signed)

    def card_hash(self, responder):
        """HS-7: in IK 1 only."""
        return responder.card_hash if (self.pattern, self.number) == (IK, 1) else None

    def proof_input(self, role, h, e, s, own_name, peer_name):
        """HS-8."""
        if (self.pattern, self.number) == (XX, 3):
            e = b""
        if (self.pattern, self.number) == (XX, 2):
            peer_name = b""
        fields = bytes([self.pattern]), bytes([role]), h, e, s, own_name, peer_name
        return context("sealwire/v1/noise/proof", self.suite, *fields)

    # HS-1: the tokens

    def write_token(self, token):
        """The bytes of one token."""
        noise = self.noise
        if token == "e":
            self.mix_ephemeral(self.ephemeral)
            return self.ephemeral
        if token == "s":
            return noise.encrypt_and_hash(self.me.static)
        if token == "e1":
            return noise.encrypt_and_hash(self.kem_secret.public_key().public_bytes_raw())
        if token == "ekem1":
            shared, ciphertext = self.encapsulate()
            sealed = noise.encrypt_and_hash(ciphertext)
            noise.mix_key(shared)
            return sealed
        self.mix_secret(token)
        return b""

    def read_token(self, token, message):
        """Takes one token off the message."""
        noise = self.noise

        def take(length):
            length += TAG if noise.cipher_state.has_key() else 0
            return noise.decrypt_and_hash(message[:length]), message[length:]

        if token == "e":
            self.remote_ephemeral = x25519_key(message[:32])
            self.mix_ephemeral(message[:32])
            return message[32:]
        if token == "s":
            static, message = take(32)
            self.remote_static = x25519_key(static)
            return message
        if token == "e1":
            key, message = take(KEM_KEY)
            self.remote_kem = kem_key(key)
            return message
        if token == "ekem1":
            ciphertext, message = take(KEM_CIPHERTEXT)
            shared = self.kem_secret.decapsulate(ciphertext)
            self.encapsulated = shared, ciphertext
            noise.mix_key(shared)
            return message
        self.mix_secret(token)
        return message

    def mix_ephemeral(self, key):
        """Noise, section 9.2: a handshake with a psk mixes ephemeral keys into the key."""
        self.noise.mix_hash(key)
        if self.psk is not None:
            self.noise.mix_key(key)

    def mix_secret(self, token):
        """psk, and the four DHs, whose first letter is the initiator's key."""
        if token == "psk":
            self.noise.mix_key_and_hash(self.psk)
            return
        own, theirs = token if self.role == INITIATOR else reversed(token)
        secret = self.ephemeral_secret if own == "e" else self.me.static_secret
        public = self.remote_ephemeral if theirs == "e" else self.remote_static
        low_order = self.fault == "low-order-e" and own == "e"
        self.noise.mix_key(bytes(32) if low_order else dh(secret, public))

    def encapsulate(self):
        """A fresh secret to the peer's ephemeral ML-KEM key, and its ciphertext."""
        return self.remote_kem.encapsulate()

    def finish(self):
        """HS-13."""
        h = self.noise.get_handshake_hash()
        k1, k2 = (state.k for state in self.noise.split())
        keys = [(k1, 0), (k2, 1)] if self.role == INITIATOR else [(k2, 1), (k1, 0)]
        label = "sealwire/v1/record/key"
        # REC-4
        sealer, opener = (
            Direction(self.suite, hkdf(h, key, context(label, self.suite, bytes([direction]))))
            for key, direction in keys
        )
        binding = hkdf(bytes(32), h, context("sealwire/v1/channel-binding", self.suite))
        return types.SimpleNamespace(sealer=sealer, opener=opener, binding=binding)


# Records

DATA, CLOSE, REKEY, PAD = 1, 2, 3, 4  # REC-3
MAX_CONTENT = 16384  # REC-2
RECORDS_PER_KEY, BYTES_PER_KEY = 2**20, 2**36  # REC-5
MAX_IDLE = 32  # REC-9


class Direction:
    """One direction of a session."""

    def __init__(self, suite, key):
        self.suite, self.idle = suite, 0
        self.use(key)

    def use(self, key):
        """Begins with a key."""
        self.key, self.counter, self.bytes = key, 0, 0
        self.aead = SUITES[self.suite].record(key)

    def nonce(self):
        """REC-4."""
        return bytes(4) + self.counter.to_bytes(8, "big")

    def count(self, length, kind):
        """REC-5 and REC-6: counts a record, the last one of which is a rekey."""
        demand(self.bytes + length <= BYTES_PER_KEY, "REC-5: bytes under one key")
        last = self.counter + 1 == RECORDS_PER_KEY
        demand(kind == REKEY or not last, "REC-5: the last record is a rekey")
        self.counter += 1
        self.bytes += length
        if kind == REKEY:
            info = context("sealwire/v1/record/rekey", self.suite)
            self.use(hkdf(bytes(32), self.key, info))

    def seal(self, kind, content=b"", zeros=0):
        """REC-1 to REC-3: a record with its length."""
        demand(len(content) + zeros <= MAX_CONTENT, "REC-2: content and padding of a record")
        plaintext = content + bytes([kind]) + bytes(zeros)
        length = (len(plaintext) + TAG).to_bytes(2, "big")
        ciphertext = self.aead.encrypt(self.nonce(), plaintext, length)
        self.count(len(ciphertext), kind)
        return length + ciphertext

    def open(self, ciphertext):
        """REC-1 to REC-3: type and content of a record without its length."""
        demand(len(ciphertext) >= 17, "REC-2: the length of a ciphertext")
        length = len(ciphertext).to_bytes(2, "big")
        plaintext = self.aead.decrypt(self.nonce(), ciphertext, length).rstrip(b"\0")
        demand(plaintext, "REC-3: a record has a type")
        content, kind = plaintext[:-1], plaintext[-1]
        sizes = {CLOSE: 1, REKEY: 0, PAD: 0, DATA: len(content)}
        demand(sizes.get(kind) == len(content), "REC-3: type and content of a record")
        self.count(len(ciphertext), kind)
        self.idle = 0 if kind == CLOSE or content else self.idle + 1
        demand(self.idle <= MAX_IDLE, "REC-9: records that carry nothing")
        return kind, content
