"""The ratchet of one session. Rules RAT-n are in docs/spec/ratchet.md.

With `pq=False` there is no field and no KEM ratchet, and with
`header_encryption=False` the header stands in clear: together that is the
classical Double Ratchet, with our labels. Both are for comparison only and are
never on the wire.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from . import mlkem
from .primitives import (
    CLASSES,
    TAG,
    ZEROS,
    Duplicate,
    Misuse,
    Random,
    Refused,
    SkipLimit,
    aead_open,
    aead_seal,
    context,
    decapsulate,
    demand,
    hkdf,
    hmac,
    kem_key,
    kem_public,
    pad,
    sha256,
    u32,
    u64,
    unpad,
    x25519,
    x25519_key,
    x25519_public,
    xchacha_open,
    xchacha_seal,
)

HEAD = b"\x01\x02"  # version and type (RAT-1)
HEADER, FIELD = 45, 1184
COUNTER_END = 2**31  # RAT-22
NOTHING, EK, CT = 0, 1, 2  # kinds (RAT-3)

Note = Callable[[str, bytes | int], None]


@dataclass(frozen=True)
class Limits:
    """RAT-22."""

    skip: int = 1000
    stored: int = 2000
    age_seconds: int = 7 * 24 * 60 * 60
    age_messages: int = 1000
    old_chains: int = 64
    stalled: int = 64


# KEM ratchet states (RAT-15)


@dataclass(frozen=True)
class Own:
    e: int
    seed: bytes | None = None


@dataclass(frozen=True)
class Pending:
    e: int
    secret: bytes


@dataclass(frozen=True)
class Await:
    e: int
    ek: bytes | None = None


@dataclass(frozen=True)
class Sent:
    e: int
    ct: bytes
    secret: bytes


@dataclass(frozen=True)
class Header:
    """RAT-1."""

    dh: bytes
    pn: int
    n: int
    epoch: int
    kind: int

    def encode(self) -> bytes:
        return self.dh + u32(self.pn) + u32(self.n) + u32(self.epoch) + bytes([self.kind])


def read_header(data: bytes) -> Header:
    pn, n, epoch = (int.from_bytes(data[at : at + 4], "big") for at in (32, 36, 40))
    return Header(data[:32], pn, n, epoch, data[44])


@dataclass(frozen=True)
class Skipped:
    """RAT-20: the message key, and when it was stored."""

    key: bytes
    time: int
    message: int


@dataclass(frozen=True)
class OldChain:
    """A receiving chain, the present one or an older one."""

    header_key: bytes
    dh: bytes
    epoch: int


CURRENT, NEW, OLD = "current", "new", "old"


@dataclass
class Ratchet:
    """The state of RAT-5 and RAT-15, and of what was skipped."""

    suite: int
    initiator: bool
    h_ad: bytes
    root: bytes
    own: bytes  # DHs, the secret
    peer: bytes | None  # DHr
    send_header: bytes | None  # HKs
    next_send_header: bytes | None  # NHKs
    next_receive_header: bytes  # NHKr
    kem: Own | Pending | Await | Sent
    pq: bool = True
    header_encryption: bool = True
    limits: Limits = Limits()
    note: Note = lambda *_: None
    send_chain: bytes | None = None  # CKs
    receive_chain: bytes | None = None  # CKr
    current: OldChain | None = None  # holds HKr
    ns: int = 0
    nr: int = 0
    pn: int = 0
    epoch: int = 0  # E
    step_due: bool = False
    chain: int = -1  # counts receiving chains, from 0
    opened: int = 0
    since_epoch: int = 0  # DH steps
    skipped: dict[tuple[int, int], Skipped] = field(default_factory=dict)
    old: dict[int, OldChain] = field(default_factory=dict)
    secrets: list[bytes] = field(default_factory=list)  # k_e, for tests

    @property
    def stalled(self) -> bool:
        """The event of RAT-22."""
        return self.pq and self.since_epoch >= self.limits.stalled

    def _copy(self) -> "Ratchet":
        return replace(
            self,
            skipped=dict(self.skipped),
            old=dict(self.old),
            secrets=list(self.secrets),
        )

    # Key schedule

    def _step(self, secret: bytes | None = None) -> tuple[bytes, bytes]:
        """RAT-8: a root step; the chain key and the next header key."""
        assert self.peer is not None
        dh, name = x25519(self.own, self.peer), "ratchet/root"
        if secret is not None:
            name = "ratchet/root-pq"
        out = hkdf(self.root, dh + (secret or b""), context(name, self.suite), 96)
        self.root, chain, header = out[:32], out[32:64], out[64:]
        self.since_epoch = 0 if secret is not None else self.since_epoch + 1
        self.note("dh", dh)
        self.note("root", self.root)
        self.note("chain", chain)
        self.note("next_header", header)
        return chain, header

    def _receiving_step(self, header: Header) -> None:
        """RAT-9, and the last column of RAT-15."""
        secret = None
        if isinstance(self.kem, Sent) and header.epoch == self.kem.e:
            secret, self.epoch = self.kem.secret, self.kem.e
            self.kem = Await(self.epoch + 1)
        self.current = OldChain(self.next_receive_header, x25519_key(header.dh), header.epoch)
        self.peer, self.nr, self.step_due = header.dh, 0, True
        self.chain += 1
        self.receive_chain, self.next_receive_header = self._step(secret)

    def _sending_step(self, random: Random) -> None:
        """RAT-10, and the last column of RAT-15."""
        secret = None
        if isinstance(self.kem, Pending):
            secret, self.epoch = self.kem.secret, self.kem.e
            self.kem = Own(self.epoch + 1)
        self.pn, self.ns = self.ns, 0
        self.send_header = self.next_send_header
        self.own = random.draw("ratchet_key", 32)
        self.send_chain, self.next_send_header = self._step(secret)
        self.step_due = False

    def _kem_secret(self, shared: bytes, ek: bytes, ct: bytes) -> bytes:
        """RAT-14."""
        numbers = u64(self.kem.e), sha256(ek), sha256(ct)
        secret = hkdf(ZEROS, shared, context("ratchet/kem", self.suite, *numbers), 32)
        self.note("kem_secret", secret)
        self.secrets.append(secret)
        return secret

    def _body_key(self, message_key: bytes, enc_header: bytes) -> tuple[bytes, bytes]:
        """RAT-12."""
        info = context("ratchet/message", self.suite)
        out = hkdf(sha256(enc_header), message_key, info, 44)
        self.note("body_key", out[:32])
        self.note("body_nonce", out[32:])
        return out[:32], out[32:]

    # Sending

    @property
    def overhead(self) -> int:
        """What a message has beside its plaintext, one byte of padding included."""
        nonce_and_tag = 24 + TAG if self.header_encryption else 0
        return len(HEAD) + nonce_and_tag + HEADER + (FIELD if self.pq else 0) + 1 + TAG

    def seal(self, plaintext: bytes, random: Random, prefix: bytes = b"") -> bytes:
        """A whole frame."""
        least = len(prefix) + self.overhead + len(plaintext)
        length = next((size for size in CLASSES if size >= least), None)
        if length is None:
            raise Misuse("RAT-4: it does not fit")
        new = self._copy()
        frame = prefix + new._seal(plaintext, random, length - least)
        self.__dict__.update(new.__dict__)
        return frame

    def _seal(self, plaintext: bytes, random: Random, filler: int) -> bytes:
        if self.step_due:
            self._sending_step(random)
        if self.send_chain is None or self.ns >= COUNTER_END:
            raise Misuse("RAT-7, RAT-22: there is no chain to send on")
        kind, field_bytes = self._make_field(random)
        header = Header(x25519_public(self.own), self.pn, self.ns, self.epoch, kind).encode()
        self.note("header", header)
        enc_header = self._seal_header(header, random)
        message_key = hmac(self.send_chain, b"\1")  # RAT-11
        self.note("message_key", message_key)
        key, nonce = self._body_key(message_key, enc_header)
        content = field_bytes + plaintext
        padded = pad(content, len(content) + 1 + filler)
        ad = self.h_ad + HEAD + enc_header  # RAT-13
        self.send_chain, self.ns = hmac(self.send_chain, b"\2"), self.ns + 1
        return HEAD + enc_header + aead_seal(self.suite, key, nonce, padded, ad)

    def _seal_header(self, header: bytes, random: Random) -> bytes:
        if not self.header_encryption:
            return header
        assert self.send_header is not None
        self.note("header_key", self.send_header)
        nonce = random.draw("header_nonce", 24)  # RAT-2
        return nonce + xchacha_seal(self.send_header, nonce, header, HEAD)

    def _make_field(self, random: Random) -> tuple[int, bytes]:
        """RAT-3, and the column "on send" of RAT-15."""
        if not self.pq:
            return NOTHING, b""
        kem = self.kem
        if isinstance(kem, Own):
            if kem.seed is None:
                self.kem = kem = Own(kem.e, random.draw("kem_seed", 64))
            return EK, kem_public(kem.seed)
        if isinstance(kem, Await) and kem.ek is not None:
            shared, ct = mlkem.encapsulate(kem.ek, random.draw("encapsulation", 32))
            self.kem = kem = Sent(kem.e, ct, self._kem_secret(shared, kem.ek, ct))
        if isinstance(kem, Sent):
            return CT, kem.ct + bytes(FIELD - mlkem.CT_LEN)
        return NOTHING, bytes(FIELD)

    # Receiving

    def open(self, frame: bytes, now: int, prefix: int = 0) -> bytes:
        """The plaintext of a frame whose first `prefix` bytes are not the ratchet's.

        RAT-21: what fails changes nothing.
        """
        demand(len(frame) in CLASSES, "RAT-4: the length of a frame")
        message = frame[prefix:]
        demand(len(message) >= self.overhead and message[:2] == HEAD, "RAT-1: a message")
        new = self._copy()
        plaintext = new._open(message, now)
        self.__dict__.update(new.__dict__)
        return plaintext

    def _open(self, message: bytes, now: int) -> bytes:
        length = HEADER + (24 + TAG if self.header_encryption else 0)
        enc_header, body = message[2 : 2 + length], message[2 + length :]
        self._expire(now)
        place, number, header = self._open_header(enc_header)
        self._check_counters(header)
        if place == OLD:
            demand(header.epoch == self.old[number].epoch, "RAT-16: the epoch of a chain")
            message_key = self._take(number, header.n)
        elif place == CURRENT:
            message_key = self._key_of_current(header, now)
        else:
            message_key = self._key_of_new(header, now)
        self.note("message_key", message_key)
        key, nonce = self._body_key(message_key, enc_header)
        padded = aead_open(self.suite, key, nonce, body, self.h_ad + HEAD + enc_header)
        content = unpad(padded)
        self.opened += 1
        if not self.pq:
            return content
        demand(len(content) >= FIELD, "RAT-3: the field")
        self._take_field(header, content[:FIELD])
        return content[FIELD:]

    def _open_header(self, enc_header: bytes) -> tuple[str, int, Header]:
        """RAT-18."""
        if not self.header_encryption:
            return self._place_clear_header(read_header(enc_header))
        tries = [(CURRENT, self.chain, self.current.header_key)] if self.current else []
        tries.append((NEW, 0, self.next_receive_header))
        newest_first = reversed(self.old.items())
        tries += [(OLD, number, chain.header_key) for number, chain in newest_first]
        nonce, sealed = enc_header[:24], enc_header[24:]
        for place, number, key in tries:
            header = xchacha_open(key, nonce, sealed, HEAD)
            if header is not None:
                return place, number, read_header(header)
        raise Refused("RAT-18: no header key opens it")

    def _place_clear_header(self, header: Header) -> tuple[str, int, Header]:
        """Without header encryption the ratchet key tells the chain."""
        if self.current and header.dh == self.current.dh:
            return CURRENT, self.chain, header
        for number, chain in self.old.items():
            if chain.dh == header.dh:
                return OLD, number, header
        return NEW, 0, header

    def _check_counters(self, header: Header) -> None:
        """RAT-22, RAT-3."""
        counters = header.pn, header.n, header.epoch
        demand(all(counter < COUNTER_END for counter in counters), "RAT-22: counters")
        answer = CT if self.initiator else EK
        demand(header.kind in ((NOTHING, answer) if self.pq else (NOTHING,)), "RAT-3: the kind")

    def _key_of_current(self, header: Header, now: int) -> bytes:
        """RAT-19, same chain."""
        assert self.current is not None
        demand(header.epoch == self.current.epoch, "RAT-16: the epoch of a chain")
        if header.n < self.nr:
            return self._take(self.chain, header.n)
        self._limit_skips(header.n - self.nr)
        return self._advance(header.n, now)

    def _key_of_new(self, header: Header, now: int) -> bytes:
        """RAT-19, new chain."""
        demand(not self.step_due, "RAT-19: a new chain answers our last one")
        allowed = [self.epoch]
        if isinstance(self.kem, Sent):
            allowed.append(self.kem.e)
        demand(header.epoch in allowed, "RAT-16: the epoch of a new chain")
        demand(header.pn >= self.nr and (self.current or header.pn == 0), "RAT-19: pn")
        self._limit_skips(header.pn - self.nr + header.n)
        if self.current is not None:
            self._skip(header.pn, now)
            self.old[self.chain] = self.current
        self._receiving_step(header)
        message_key = self._advance(header.n, now)
        self._drop()
        return message_key

    def _limit_skips(self, count: int) -> None:
        """RAT-22: before any chain step."""
        if count > self.limits.skip:
            raise SkipLimit(f"RAT-22: {count} skipped messages")

    def _skip(self, end: int, now: int) -> None:
        """Stores the keys of Nr to end - 1 of the receiving chain (RAT-20)."""
        assert self.receive_chain is not None
        while self.nr < end:
            key = hmac(self.receive_chain, b"\1")
            self.skipped[self.chain, self.nr] = Skipped(key, now, self.opened + 1)
            self.receive_chain, self.nr = hmac(self.receive_chain, b"\2"), self.nr + 1

    def _advance(self, n: int, now: int) -> bytes:
        """The key of message n, those before it skipped."""
        self._skip(n, now)
        assert self.receive_chain is not None
        key = hmac(self.receive_chain, b"\1")
        self.receive_chain, self.nr = hmac(self.receive_chain, b"\2"), n + 1
        self._drop()
        return key

    def _take(self, chain: int, n: int) -> bytes:
        """RAT-20: a skipped key serves once."""
        found = self.skipped.pop((chain, n), None)
        if found is None:
            raise Duplicate("RAT-19: opened before, or its key is gone")
        self._drop()
        return found.key

    def _expire(self, now: int) -> None:
        """RAT-22: the age of a skipped key."""
        limits, next_message = self.limits, self.opened + 1
        self.skipped = {
            place: key
            for place, key in self.skipped.items()
            if now - key.time <= limits.age_seconds
            and next_message - key.message <= limits.age_messages
        }
        self._drop()

    def _drop(self) -> None:
        """RAT-20, RAT-22: keys over the limit, then chains without keys, then chains
        over the limit."""
        for place in list(self.skipped)[: max(0, len(self.skipped) - self.limits.stored)]:
            del self.skipped[place]
        alive = {chain for chain, _ in self.skipped}
        self.old = {number: chain for number, chain in self.old.items() if number in alive}
        for number in list(self.old)[: max(0, len(self.old) - self.limits.old_chains)]:
            del self.old[number]
            self.skipped = {p: key for p, key in self.skipped.items() if p[0] != number}

    def _take_field(self, header: Header, field_bytes: bytes) -> None:
        """RAT-3, and the column "on open" of RAT-15."""
        ends = {NOTHING: 0, EK: FIELD, CT: mlkem.CT_LEN}[header.kind]
        content, filler = field_bytes[:ends], field_bytes[ends:]
        demand(not any(filler), "RAT-3: filler is zero")
        kem = self.kem
        if header.epoch != kem.e - 1:
            return
        if isinstance(kem, Own) and kem.seed is not None and header.kind == CT:
            shared = decapsulate(kem.seed, content)
            secret = self._kem_secret(shared, kem_public(kem.seed), content)
            self.kem = Pending(kem.e, secret)
        if isinstance(kem, Await) and kem.ek is None and header.kind == EK:
            self.kem = Await(kem.e, kem_key(content))


# Beginnings


@dataclass(frozen=True)
class Start:
    """RAT-5."""

    root: bytes
    header_a: bytes
    next_header_b: bytes
    session_id: bytes


def start(suite: int, sk: bytes) -> Start:
    """RAT-5."""
    out = hkdf(ZEROS, sk, context("ratchet/start", suite), 96)
    sid = hkdf(ZEROS, sk, context("ratchet/session-id", suite), 16)
    return Start(out[:32], out[32:64], out[64:], sid)


def initiator(
    suite: int, sk: bytes, h_ad: bytes, spk: bytes, own: bytes, note: Note = lambda *_: None,
    **switches: object,
) -> Ratchet:
    """RAT-6, with a fresh ratchet key."""
    first = start(suite, sk)
    ratchet = Ratchet(
        suite, True, h_ad, first.root, own, spk,
        send_header=first.header_a,
        next_send_header=None,
        next_receive_header=first.next_header_b,
        kem=Own(1),
        note=note,
        **switches,
    )  # fmt: skip
    ratchet.send_chain, ratchet.next_send_header = ratchet._step()
    return ratchet


def responder(
    suite: int, sk: bytes, h_ad: bytes, spk_secret: bytes, note: Note = lambda *_: None,
    **switches: object,
) -> Ratchet:
    """RAT-7."""
    first = start(suite, sk)
    return Ratchet(
        suite, False, h_ad, first.root, spk_secret, None,
        send_header=None,
        next_send_header=first.next_header_b,
        next_receive_header=first.header_a,
        kem=Await(1),
        note=note,
        **switches,
    )  # fmt: skip
