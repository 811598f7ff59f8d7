"""Agent ids and cards, as far as the asynchronous half needs them (docs/spec/card.md)."""

from dataclasses import dataclass

from .primitives import (
    SUITES,
    Random,
    cbor,
    context,
    demand,
    ed25519_public,
    fields,
    kem_key,
    kem_public,
    optional,
    sha256,
    sign,
    string,
    text,
    uint,
    verify,
    x25519_key,
    x25519_public,
)

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SKEW = 5 * 60  # CARD-14
DAY = 24 * 60 * 60


def did_key(key: bytes) -> str:
    """ID-1; the first byte is 0xed, so there is no leading zero to write."""
    value, digits = int.from_bytes(b"\xed\x01" + key, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        digits = ALPHABET[digit] + digits
    return "did:key:z" + digits


@dataclass(frozen=True)
class Card:
    """A card that has been read, and the bytes it was read from."""

    bytes: bytes
    id: str
    identity: bytes
    kx_id: int
    exchange: bytes
    suites: bytes
    sequence: int
    not_before: int
    not_after: int

    @property
    def hash(self) -> bytes:
        """CARD-15."""
        return sha256(self.bytes)

    @property
    def agent(self) -> bytes:
        """The id as it stands in contexts."""
        return self.id.encode()


def read_card(data: bytes, now: int, grace: int = 0) -> Card:
    """CARD-1 to CARD-14, with `grace` seconds after the end (AGR-14)."""
    demand(len(data) <= 4096 and data[:1] == b"\x01", "CARD-1: length and version")
    body, signature = fields(data[1:], "CARD-2", string(0, 4096), string(64))
    null = optional(lambda _: False)  # CARD-9
    checks = [text, null, string(32), uint(32, 1), string(32), string(1184), string(1216)]
    checks += [string(1, 8), optional(text), null, null, uint(64, 1), uint(64), uint(64)]
    found = fields(body, "CARD-3", *checks)
    agent, _, identity, kx_id, exchange, kem, xwing, suites, _, _, _, *times = found
    for x25519, ek in (exchange, kem), (xwing[1184:], xwing[:1184]):  # CARD-5, CARD-6
        x25519_key(x25519)
        kem_key(ek)
    demand(kem != xwing[:1184] and exchange != xwing[1184:], "CARD-18: one key, one use")
    demand(list(suites) == sorted(set(suites)) and set(suites) <= set(SUITES), "CARD-7")
    demand(agent == did_key(identity), "CARD-10: the id is that of the key")
    verify(identity, context("card", 0, body), signature)  # CARD-11
    sequence, not_before, not_after = times
    demand(0 < not_after - not_before <= 30 * DAY, "CARD-13: the lifetime")
    demand(not_before <= now + SKEW and now <= not_after + grace, "CARD-14: the time")
    return Card(data, agent, identity, kx_id, exchange, suites, sequence, not_before, not_after)


@dataclass(frozen=True)
class Keys:
    """The long-term secrets of an agent, and its card."""

    identity: bytes
    exchange: bytes
    card: Card


def make_keys(
    random: Random, now: int, kx_id: int = 1, secrets: tuple[bytes, bytes] | None = None
) -> Keys:
    """An agent with a card of 30 days; its identity seed and exchange secret, if given."""
    if secrets is None:
        secrets = random.draw("identity", 32), random.draw("exchange", 32)
    identity, exchange = secrets
    kem = kem_public(random.draw("card_kem", 64))
    xwing_kem = kem_public(random.draw("card_xwing_kem", 64))
    xwing = xwing_kem + x25519_public(random.draw("card_xwing_x25519", 32))
    public = ed25519_public(identity)
    body = cbor(
        [did_key(public), None, public, kx_id, x25519_public(exchange), kem, xwing]
        + [bytes(SUITES), None, None, None, 1, now, now + 30 * DAY]
    )
    card = b"\x01" + cbor([body, sign(identity, context("card", 0, body))])
    return Keys(identity, exchange, read_card(card, now))
