"""Prekeys: bundle, pages, private halves. Rules PRE-n are in docs/spec/prekeys.md."""

from dataclasses import dataclass, field

from .card import DAY, SKEW, Card, Keys
from .primitives import (
    Misuse,
    Random,
    cbor,
    context,
    demand,
    fields,
    kem_key,
    kem_public,
    sha256,
    sign,
    string,
    u8,
    u16,
    u32,
    u64,
    uint,
    verify,
    x25519_key,
    x25519_public,
)

X25519, ML_KEM = 1, 2  # kinds
KEY_LENGTHS = {X25519: 32, ML_KEM: 1184}
MOST_KEYS = {X25519: 100, ML_KEM: 20}  # PRE-9
BUNDLE_LIFE, PAGE_LIFE = 14 * DAY, 52 * DAY  # PRE-15, PRE-17
CONTACT_TTL, SLACK = 7 * DAY, 60 * 60  # PRE-16
MAX_ID = 2**32 - 1


# Bundle


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been verified."""

    bytes: bytes
    card: Card
    device: int
    spk_id: int
    spk: bytes
    kem_id: int
    kem: bytes
    mailbox: bytes
    capability: bytes
    sequence: int
    not_after: int


def read_bundle(data: bytes, card: Card, device: int, now: int) -> Bundle:
    """PRE-5 to PRE-7."""
    demand(len(data) <= 2048 and data[:1] == b"\x01", "PRE-5: length and version")
    body, signature = fields(data[1:], "PRE-5", string(0, 2048), string(64))
    checks = [string(32), uint(32), uint(32, 1), string(32), uint(32, 1), string(1184)]
    checks += [string(0, 64), string(0, 256), uint(64), uint(64)]
    found = fields(body, "PRE-5: the body", *checks)
    card_hash, of_device, spk_id, spk, kem_id, kem, mailbox, capability, *counts = found
    sequence, not_after = counts
    x25519_key(spk)
    kem_key(kem)
    demand(card_hash == card.hash, "PRE-7: the card")
    demand(of_device == device, "PRE-7: the device")
    verify(card.identity, context("prekey/bundle", 0, card.agent, body), signature)  # PRE-6
    demand(sequence >= 1, "PRE-7: the sequence")
    demand(now <= not_after <= now + BUNDLE_LIFE + SKEW, "PRE-7: the time")
    return Bundle(
        data, card, device, spk_id, spk, kem_id, kem, mailbox, capability, sequence, not_after
    )


# Pages


def leaf(kind: int, number: int, key: bytes) -> bytes:
    """PRE-10."""
    return sha256(b"\0" + u8(kind) + u32(number) + key)


def node(left: bytes, right: bytes) -> bytes:
    """PRE-10."""
    return sha256(b"\1" + left + right)


def _split(count: int) -> int:
    """The largest power of two smaller than the count."""
    return 1 << (count - 1).bit_length() - 1


def tree_root(leaves: list[bytes]) -> bytes:
    """PRE-10: RFC 9162, section 2.1.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return node(tree_root(leaves[:split]), tree_root(leaves[split:]))


def tree_path(leaves: list[bytes], index: int) -> list[bytes]:
    """PRE-10: the siblings from the leaf to the root."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return [*tree_path(left, index), tree_root(right)]
    return [*tree_path(right, index - split), tree_root(left)]


def root_of_path(start: bytes, index: int, count: int, path: list[bytes]) -> bytes:
    """PRE-12, PRE-13: the root that a path leads to."""
    if count == 1:
        demand(not path, "PRE-12: a path no longer than the tree is high")
        return start
    demand(path, "PRE-12: a path as long as the tree is high")
    split = _split(count)
    if index < split:
        return node(root_of_path(start, index, split, path[:-1]), path[-1])
    return node(path[-1], root_of_path(start, index - split, count - split, path[:-1]))


def page_input(
    agent: bytes, device: int, kind: int, base: int, count: int, not_after: int, root: bytes
) -> bytes:
    """PRE-11."""
    numbers = u32(device), u8(kind), u32(base), u16(count), u64(not_after)
    return context("prekey/page", 0, agent, *numbers, root)


@dataclass(frozen=True)
class Page:
    """What a device uploads."""

    header: bytes
    blobs: list[bytes]


@dataclass(frozen=True)
class OneTime:
    """A one-time prekey that was claimed and verified."""

    id: int
    key: bytes


def _header_fields(header: bytes) -> list:
    demand(len(header) <= 256 and header[:1] == b"\x01", "PRE-12: length and version")
    checks = [uint(32), uint(8), uint(32, 1), uint(16, 1), uint(64), string(32), string(64)]
    return fields(header[1:], "PRE-12: the header", *checks)


def read_page_header(header: bytes) -> tuple[int, int, bytes]:
    """The base id, the end and the root of a header, unverified."""
    _, _, base, _, not_after, root, _ = _header_fields(header)
    return base, not_after, root


def read_claim(
    header: bytes, blob: bytes, card: Card, device: int, kind: int, now: int
) -> OneTime:
    """PRE-9 to PRE-13."""
    demand(len(blob) <= 2048, "PRE-12: the length of a blob")
    of_device, of_kind, base, count, not_after, root, signature = _header_fields(header)
    demand((of_device, of_kind) == (device, kind), "PRE-13: device and kind")
    demand(count <= MOST_KEYS[kind] and base + count - 1 <= MAX_ID, "PRE-9: the count")
    signed = page_input(card.agent, device, kind, base, count, not_after, root)
    verify(card.identity, signed, signature)
    demand(now <= not_after <= now + PAGE_LIFE + SKEW, "PRE-13: the time")
    path_check = lambda item: isinstance(item, list) and all(map(string(32), item))  # noqa: E731
    key_check = string(KEY_LENGTHS[kind])
    number, key, path = fields(blob, "PRE-12: the blob", uint(32), key_check, path_check)
    demand(base <= number < base + count, "PRE-13: the id is in the page")
    found_root = root_of_path(leaf(kind, number, key), number - base, count, path)
    demand(found_root == root, "PRE-13: the path leads to the root")
    (x25519_key if kind == X25519 else kem_key)(key)
    return OneTime(number, key)


# The owner's side


@dataclass
class Private:
    """A private half: 32 or 64 bytes, and when it is deleted."""

    secret: bytes
    delete_after: int
    one_time: bool


@dataclass
class PrekeyStore:
    """The private halves of one device (PRE-1)."""

    keys: Keys
    device: int
    signed: dict[int, Private] = field(default_factory=dict)
    x25519: dict[int, Private] = field(default_factory=dict)
    kem: dict[int, Private] = field(default_factory=dict)
    replay: dict[int, set[bytes]] = field(default_factory=dict)  # AGR-20
    next_id: dict[str, int] = field(default_factory=lambda: {"signed": 1, "x25519": 1, "kem": 1})
    sequence: int = 0

    def _number(self, counter: str, count: int = 1) -> int:
        """PRE-2."""
        first = self.next_id[counter]
        if first + count - 1 > MAX_ID:
            raise Misuse("PRE-2: the counter has reached its end")
        self.next_id[counter] = first + count
        return first

    def make_bundle(
        self, random: Random, now: int, mailbox: bytes, capability: bytes
    ) -> bytes:
        """PRE-15: a new signed prekey, a new last-resort KEM prekey, and their bundle."""
        secret, seed = random.draw("signed_prekey", 32), random.draw("last_resort", 64)
        spk_id, kem_id = self._number("signed"), self._number("kem")
        not_after = now + BUNDLE_LIFE
        end = not_after + CONTACT_TTL + SLACK  # PRE-16
        self.signed[spk_id] = Private(secret, end, one_time=False)
        self.kem[kem_id] = Private(seed, end, one_time=False)
        self.replay[kem_id] = set()
        self.sequence += 1
        card = self.keys.card
        body = cbor(
            [card.hash, self.device, spk_id, x25519_public(secret), kem_id, kem_public(seed)]
            + [mailbox, capability, self.sequence, not_after]
        )
        signature = sign(self.keys.identity, context("prekey/bundle", 0, card.agent, body))
        return b"\x01" + cbor([body, signature])

    def make_page(self, random: Random, now: int, kind: int, count: int) -> Page:
        """PRE-9 to PRE-11, PRE-17."""
        if not 1 <= count <= MOST_KEYS[kind]:
            raise Misuse("PRE-9: the count")
        length, counter = (32, "x25519") if kind == X25519 else (64, "kem")
        secrets = [random.draw("one_time", length) for _ in range(count)]
        base, store = self._number(counter, count), getattr(self, counter)
        not_after = now + PAGE_LIFE
        public = x25519_public if kind == X25519 else kem_public
        publics = [public(secret) for secret in secrets]
        for index, secret in enumerate(secrets):
            end = not_after + CONTACT_TTL + SLACK
            store[base + index] = Private(secret, end, one_time=True)
        leaves = [leaf(kind, base + index, key) for index, key in enumerate(publics)]
        root, agent = tree_root(leaves), self.keys.card.agent
        signed = page_input(agent, self.device, kind, base, count, not_after, root)
        signature = sign(self.keys.identity, signed)
        header = cbor([self.device, kind, base, count, not_after, root, signature])
        blobs = [
            cbor([base + index, key, tree_path(leaves, index)])
            for index, key in enumerate(publics)
        ]
        return Page(b"\x01" + header, blobs)

    def find(self, store: dict[int, Private], number: int, now: int, rule: str) -> Private:
        """AGR-14, step 2."""
        private = store.get(number)
        demand(private is not None and now <= private.delete_after, rule)
        assert private is not None
        return private
