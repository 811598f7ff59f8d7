"""What the specification takes as given: hashes, keys, AEADs, CBOR, padding.

Made to be read and to test against: no constant time, nothing is wiped.
"""

import hashlib
import hmac as _hmac
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from . import mlkem

NO_SUITE, AES_GCM, CHACHA_POLY = 0, 1, 2
SUITES = {AES_GCM: AESGCM, CHACHA_POLY: ChaCha20Poly1305}
ZEROS = bytes(32)
TAG = 16


class Refused(Exception):
    """What the peer sent is not what the specification demands."""


class Duplicate(Refused):
    """A message that was opened before, or whose key is gone (RAT-19)."""


class SkipLimit(Refused):
    """A message too far ahead (RAT-22)."""


class Misuse(Exception):
    """The caller asks for what cannot be."""


def demand(condition: object, rule: str) -> None:
    """Refuses, and says what was broken."""
    if not condition:
        raise Refused(rule)


# Randomness


class Random:
    """The one source of randomness. Every draw has a name, and is noted.

    With a seed the draws are those of SHAKE256(seed | number of the draw).
    """

    def __init__(self, seed: bytes | None = None):
        self.seed, self.count, self.failing = seed, 0, False
        self.drawn: list[tuple[str, bytes]] = []

    def draw(self, name: str, length: int) -> bytes:
        """Bytes that are not all-zero (PRE-3, AGR-4, RAT-2, RAT-26)."""
        if self.seed is None:
            data = os.urandom(length)
        else:
            self.count += 1
            data = hashlib.shake_256(self.seed + self.count.to_bytes(8, "big")).digest(length)
        if self.failing or not any(data):
            raise Misuse("the generator fails")
        self.drawn.append((name, data))
        return data


# Hashes and labels


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256."""
    return _hmac.digest(key, message, "sha256")


def hkdf(salt: bytes, ikm: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(ikm)


def u8(value: int) -> bytes:
    return value.to_bytes(1, "big")


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def context(label: str, suite: int, *fields: bytes) -> bytes:
    """The label, a zero, the suite, and each field behind its length."""
    joined = b"".join(u16(len(field)) + field for field in fields)
    return b"sealwire/v1/" + label.encode() + bytes([0, suite]) + joined


# X25519

P = 2**255 - 19


def x25519_public(secret: bytes) -> bytes:
    """The public key of 32 secret bytes."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret: bytes, public: bytes) -> bytes:
    """The shared secret; `cryptography` refuses an all-zero one."""
    key = X25519PrivateKey.from_private_bytes(secret)
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Refused("AGR-5, RAT-8: no all-zero X25519 result") from error


def x25519_key(data: bytes) -> bytes:
    """PRE-4: canonical and not of small order. Clamped scalars are multiples of 8."""
    demand(len(data) == 32, "PRE-4: an X25519 key has 32 bytes")
    demand(int.from_bytes(data, "little") < P, "PRE-4: an X25519 key is canonical")
    x25519(b"\x09" * 32, data)
    return data


# Ed25519


def ed25519_public(secret: bytes) -> bytes:
    """The public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def sign(secret: bytes, message: bytes) -> bytes:
    """An Ed25519 signature."""
    return Ed25519PrivateKey.from_private_bytes(secret).sign(message)


def _small_order(point: bytes) -> bool:
    """Whether a point has order 1, 2, 4 or 8: its y tells, whatever the sign."""
    y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    y = int.from_bytes(point, "little") % 2**255 % P
    return y in (0, 1, P - 1, y8, P - y8)


def verify(key: bytes, message: bytes, signature: bytes) -> None:
    """Strict: canonical S (as `cryptography` demands) and A, no point of small order."""
    demand(len(signature) == 64, "a signature has 64 bytes")
    demand(int.from_bytes(key, "little") % 2**255 < P, "a canonical identity key")
    demand(not _small_order(key) and not _small_order(signature[:32]), "no small order")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Refused("the signature verifies") from error


# ML-KEM-768


def kem_public(seed: bytes) -> bytes:
    """The encapsulation key of a seed d | z."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def kem_key(data: bytes) -> bytes:
    """PRE-4."""
    demand(mlkem.is_canonical(data), "PRE-4: an ML-KEM key is canonical")
    return data


def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """The shared secret: never an error but for the length."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


# AEADs


def aead_seal(suite: int, key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """The ciphertext and its tag."""
    return SUITES[suite](key).encrypt(nonce, plaintext, ad)


def aead_open(suite: int, key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
    """The plaintext."""
    try:
        return SUITES[suite](key).decrypt(nonce, sealed, ad)
    except (InvalidTag, ValueError) as error:
        raise Refused("it opens") from error


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """draft-irtf-cfrg-xchacha-03, section 2.2: 20 rounds, without the final addition."""
    words = [*(b"expand 32-byte k"[i : i + 4] for i in range(0, 16, 4))]
    words += [(key + nonce)[i : i + 4] for i in range(0, 48, 4)]
    s = [int.from_bytes(word, "little") for word in words]

    def add_xor_rotate(a: int, b: int, d: int, bits: int) -> None:
        s[a] = (s[a] + s[b]) & 0xFFFFFFFF
        x = s[d] ^ s[a]
        s[d] = (x << bits | x >> 32 - bits) & 0xFFFFFFFF

    columns = [(i, i + 4, i + 8, i + 12) for i in range(4)]
    diagonals = [(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4) for i in range(4)]
    for a, b, c, d in (columns + diagonals) * 10:
        add_xor_rotate(a, b, d, 16)
        add_xor_rotate(c, d, b, 12)
        add_xor_rotate(a, b, d, 8)
        add_xor_rotate(c, d, b, 7)
    return b"".join(word.to_bytes(4, "little") for word in s[:4] + s[12:])


def xchacha_seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """XChaCha20-Poly1305, section 2.3 of the same draft."""
    cipher = ChaCha20Poly1305(hchacha20(key, nonce[:16]))
    return cipher.encrypt(bytes(4) + nonce[16:], plaintext, ad)


def xchacha_open(key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> bytes | None:
    """The plaintext, or None."""
    cipher = ChaCha20Poly1305(hchacha20(key, nonce[:16]))
    try:
        return cipher.decrypt(bytes(4) + nonce[16:], sealed, ad)
    except InvalidTag:
        return None


# Padding (RAT-4)

CLASSES = (2048, 4096, 16384, 65536)


def pad(content: bytes, length: int) -> bytes:
    """Content, 0x80, zeros."""
    return content + b"\x80" + bytes(length - len(content) - 1)


def unpad(padded: bytes) -> bytes:
    """The content."""
    content = padded.rstrip(b"\0")
    demand(content[-1:] == b"\x80", "RAT-4: padding is 0x80 and zeros")
    return content[:-1]


# CBOR: unsigned integers, byte strings, text, arrays, null (CARD-4)

Item = int | bytes | str | None | list["Item"]


def cbor(item: Item) -> bytes:
    """The canonical encoding."""
    if item is None:
        return b"\xf6"
    if isinstance(item, int):
        return _head(0, item)
    if isinstance(item, bytes):
        return _head(2, len(item)) + item
    if isinstance(item, str):
        return _head(3, len(item.encode())) + item.encode()
    return _head(4, len(item)) + b"".join(map(cbor, item))


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    size = next(size for size in range(4) if value < 1 << 8 * 2**size)
    return bytes([major << 5 | 24 + size]) + value.to_bytes(2**size, "big")


def from_cbor(data: bytes, what: str) -> Item:
    """Reads leniently, then demands that the same bytes come out again."""
    item, rest = _read(data, what)
    demand(not rest and cbor(item) == data, f"{what}: canonical CBOR")
    return item


def _read(data: bytes, what: str, depth: int = 0) -> tuple[Item, bytes]:
    demand(data and depth < 3, f"{what}: CBOR")
    if data[:1] == b"\xf6":
        return None, data[1:]
    major, low = data[0] >> 5, data[0] & 31
    demand(major in (0, 2, 3, 4) and low < 28, f"{what}: integers, strings, arrays, null")
    size = 0 if low < 24 else 2 ** (low - 24)
    demand(len(data) > size, f"{what}: CBOR is whole")
    value, rest = int.from_bytes(data[1 : 1 + size], "big") if size else low, data[1 + size :]
    if major == 0:
        return value, rest
    demand(value <= len(rest), f"{what}: CBOR is whole")
    if major == 4:
        items: list[Item] = []
        for _ in range(value):
            item, rest = _read(rest, what, depth + 1)
            items.append(item)
        return items, rest
    string, rest = rest[:value], rest[value:]
    if major == 2:
        return string, rest
    try:
        return string.decode(), rest
    except UnicodeDecodeError as error:
        raise Refused(f"{what}: text is UTF-8") from error


Check = Callable[[object], bool]


def uint(bits: int, least: int = 0) -> Check:
    """An unsigned integer."""
    return lambda item: isinstance(item, int) and least <= item < 1 << bits


def string(least: int, most: int | None = None) -> Check:
    """A byte string of least to most bytes, or of exactly `least`."""
    top = least if most is None else most
    return lambda item: isinstance(item, bytes) and least <= len(item) <= top


def optional(check: Check) -> Check:
    """Or null."""
    return lambda item: item is None or check(item)


def text(item: object) -> bool:
    """A text string."""
    return isinstance(item, str)


def fields(data: bytes, what: str, *checks: Check) -> list:
    """A canonical array with exactly these fields."""
    items = from_cbor(data, what)
    demand(isinstance(items, list) and len(items) == len(checks), f"{what}: {len(checks)} fields")
    for index, (item, check) in enumerate(zip(items, checks, strict=True)):
        demand(check(item), f"{what}: field {index}")
    return items
