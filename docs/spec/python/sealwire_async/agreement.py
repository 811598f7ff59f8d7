"""The agreement, both roles, and a device that has sessions. Rules AGR-n are in
docs/spec/agreement.md; the sessions of one peer follow RAT-23 and RAT-24."""

from dataclasses import dataclass, field

from . import mlkem, ratchet
from .card import Card, Keys, read_card
from .prekeys import CONTACT_TTL, Bundle, OneTime, PrekeyStore
from .primitives import (
    CLASSES,
    SUITES,
    TAG,
    ZEROS,
    Misuse,
    Random,
    Refused,
    aead_open,
    aead_seal,
    cbor,
    context,
    decapsulate,
    demand,
    fields,
    hkdf,
    hmac,
    optional,
    sha256,
    sign,
    string,
    u16,
    u32,
    uint,
    verify,
    x25519,
    x25519_key,
    x25519_public,
)
from .ratchet import Note, Ratchet

CLEAR = 1139  # AGR-1
MAX_SEALED = 32768  # AGR-2
MAX_REPLAY = 1024  # AGR-21
PREFIX_FF = b"\xff" * 32


@dataclass(frozen=True)
class Clear:
    """AGR-1."""

    suite: int
    kx_id: int
    spk_id: int
    opk_id: int
    kem_id: int
    ephemeral: bytes
    ct: bytes

    def encode(self) -> bytes:
        ids = self.kx_id, self.spk_id, self.opk_id, self.kem_id
        return bytes([1, 1, self.suite]) + b"".join(map(u32, ids)) + self.ephemeral + self.ct


def read_clear(data: bytes) -> Clear:
    """AGR-1."""
    demand(len(data) == CLEAR and data[:2] == b"\1\1", "AGR-1: length, version, type")
    suite = data[2]
    demand(suite in SUITES, "AGR-1: the suite")
    kx_id, spk_id, opk_id, kem_id = (
        int.from_bytes(data[at : at + 4], "big") for at in (3, 7, 11, 15)
    )
    demand(kx_id and spk_id and kem_id, "AGR-1: ids that are not 0")
    return Clear(suite, kx_id, spk_id, opk_id, kem_id, x25519_key(data[19:51]), data[51:])


def session_key(suite: int, dhs: list[bytes], ss: bytes) -> bytes:
    """AGR-6: from DH1 to DH3 or DH4, and SS."""
    names = b"X25519", b"SHA-256", b"ML-KEM-768"
    info = context("agreement/sk", suite, *names)
    return hkdf(ZEROS, PREFIX_FF + b"".join(dhs) + ss, info, 32)


def identity_key(suite: int, dhs: list[bytes], ss: bytes, clear: bytes) -> tuple[bytes, bytes]:
    """AGR-9: from DH2 to DH3 or DH4, and SS."""
    info = context("agreement/identity", suite, sha256(clear))
    out = hkdf(ZEROS, PREFIX_FF + b"".join(dhs) + ss, info, 44)
    return out[:32], out[32:]


@dataclass(frozen=True)
class Side:
    """One side, as AD names it."""

    card: Card
    device: int


def associated_data(
    a: Side, b: Side, clear: Clear, spk: bytes, opk: bytes, pqpk: bytes
) -> bytes:
    """AGR-7."""
    return context(
        "agreement/ad", clear.suite,
        a.card.agent, b.card.agent, u32(a.device), u32(b.device),
        a.card.identity, b.card.identity, a.card.exchange, b.card.exchange,
        a.card.hash, b.card.hash, spk, opk, sha256(pqpk), clear.ephemeral, clear.ct,
    )  # fmt: skip


def proof_input(suite: int, h_ad: bytes) -> bytes:
    """AGR-8."""
    return context("agreement/proof", suite, h_ad)


@dataclass
class Session:
    """A session with one device of a peer."""

    ratchet: Ratchet
    sid: bytes
    peer: Card
    peer_device: int
    prefix: bytes = b""  # as sent or received
    repeat: bool = False  # AGR-11
    answered: bool = False
    initiator: bool = False

    def seal(self, plaintext: bytes, random: Random) -> bytes:
        """A frame, with the prefix as long as AGR-11 says."""
        return self.ratchet.seal(plaintext, random, self.prefix if self.repeat else b"")

    def open(self, frame: bytes, now: int) -> bytes:
        """A frame of this session, with our stored prefix or none."""
        first = bool(frame[:2] == b"\1\1")
        demand(not first or frame.startswith(self.prefix), "AGR-13: the prefix")
        plaintext = self.ratchet.open(frame, now, len(self.prefix) if first else 0)
        self.answered, self.repeat = True, False
        return plaintext


@dataclass
class Device:
    """An agent's device: its prekeys and sessions, the active one of a peer first."""

    keys: Keys
    random: Random
    number: int = 0
    prekeys: PrekeyStore = field(init=False)
    sessions: list[Session] = field(default_factory=list)
    note: Note = lambda *_: None

    def __post_init__(self) -> None:
        self.prekeys = PrekeyStore(self.keys, self.number)

    @property
    def side(self) -> Side:
        return Side(self.keys.card, self.number)

    # The initiator

    def initiate(
        self,
        bundle: Bundle,
        suite: int,
        opk: OneTime | None = None,
        kem: OneTime | None = None,
        reply: tuple[bytes | None, bytes | None] = (None, None),
    ) -> Session:
        """AGR-3 to AGR-11, with what was verified before."""
        demand(suite in self.keys.card.suites and suite in bundle.card.suites, "AGR-3: the suite")
        secret = self.random.draw("ephemeral", 32)
        randomness = self.random.draw("encapsulation", 32)
        own = self.random.draw("ratchet_key", 32)
        if len({secret, randomness, own}) < 3:
            raise Misuse("AGR-4: the generator repeats itself")
        kem = kem or OneTime(bundle.kem_id, bundle.kem)
        ss, ct = mlkem.encapsulate(kem.key, randomness)
        dhs = [
            x25519(self.keys.exchange, bundle.spk),
            x25519(secret, bundle.card.exchange),
            x25519(secret, bundle.spk),
        ]
        dhs += [x25519(secret, opk.key)] if opk else []  # AGR-5
        numbers = bundle.card.kx_id, bundle.spk_id, opk.id if opk else 0, kem.id
        clear = Clear(suite, *numbers, x25519_public(secret), ct)
        other = Side(bundle.card, bundle.device)
        ad = associated_data(
            self.side, other, clear, bundle.spk, opk.key if opk else b"", kem.key
        )
        h_ad, encoded = sha256(ad), clear.encode()
        signature = sign(self.keys.identity, proof_input(suite, h_ad))
        plaintext = cbor(  # AGR-10
            [self.keys.card.bytes, None, self.number, b"", bundle.card.hash, signature, *reply]
        )
        key, nonce = identity_key(suite, dhs[1:], ss, encoded)
        sealed = aead_seal(suite, key, nonce, plaintext, encoded)
        if len(sealed) > MAX_SEALED:
            raise Misuse("AGR-2: the sealed part")
        sk = session_key(suite, dhs, ss)
        self._note_agreement(dhs, ss, ad, signature, plaintext, key, nonce, sk, suite)
        session = Session(
            ratchet.initiator(suite, sk, h_ad, bundle.spk, own, self.note),
            ratchet.start(suite, sk).session_id,
            bundle.card,
            bundle.device,
            encoded + u16(len(sealed)) + sealed,
            repeat=True,
            initiator=True,
        )
        self.sessions.insert(0, session)
        return session

    def _note_agreement(self, dhs, ss, ad, signature, plaintext, key, nonce, sk, suite) -> None:
        for index, dh in enumerate(dhs):
            self.note(f"dh{index + 1}", dh)
        first = ratchet.start(suite, sk)
        for name, value in {
            "ss": ss, "ad": ad, "h_ad": sha256(ad), "sig_a": signature,
            "sealed_plaintext": plaintext, "sealed_key": key, "sealed_nonce": nonce, "sk": sk,
            "replay_entry": replay_entry(sk), "sk_ec": first.root, "hk_a": first.header_a,
            "nhk_b": first.next_header_b, "session_id": first.session_id,
        }.items():  # fmt: skip
            self.note(name, value)

    # The responder

    def receive(self, frame: bytes, now: int) -> tuple[Session, bytes, bool]:
        """Any frame: its session, its plaintext, and whether the session is new."""
        demand(len(frame) in CLASSES, "RAT-4: the length of a frame")
        if frame[:2] == ratchet.HEAD:
            return *self._try_sessions(frame, now), False
        for session in self.sessions:  # AGR-13
            if session.initiator:
                continue
            if frame.startswith(session.prefix):
                return session, session.open(frame, now), False
            other = frame[19:51] != session.prefix[19:51]
            demand(other, "AGR-13: an ephemeral key is used once")
        return *self._respond(frame, now), True

    def _try_sessions(self, frame: bytes, now: int) -> tuple[Session, bytes]:
        """RAT-23, over the sessions of all peers: here there are few."""
        for session in self.sessions:
            try:
                return session, session.open(frame, now)
            except Refused as error:
                if type(error) is not Refused:  # The header has opened.
                    raise
        raise Refused("RAT-23: no session opens it")

    def _respond(self, frame: bytes, now: int) -> tuple[Session, bytes]:
        """AGR-14, in its order; the limit over time and the policy are the caller's."""
        clear = read_clear(frame[:CLEAR])  # 1
        length = int.from_bytes(frame[CLEAR : CLEAR + 2], "big")
        demand(TAG < length <= MAX_SEALED, "AGR-2: the sealed part")
        prefix = frame[: CLEAR + 2 + length]
        encoded, sealed = prefix[:CLEAR], prefix[CLEAR + 2 :]
        store, suite = self.prekeys, clear.suite  # 2
        demand(clear.kx_id == self.keys.card.kx_id, "AGR-14: kx_id")
        spk = store.find(store.signed, clear.spk_id, now, "AGR-14: spk_id")
        kem = store.find(store.kem, clear.kem_id, now, "AGR-14: kem_id")
        secrets = [self.keys.exchange, spk.secret]
        opk = None
        if clear.opk_id:
            opk = store.find(store.x25519, clear.opk_id, now, "AGR-14: opk_id")
            secrets.append(opk.secret)
        dhs = [x25519(secret, clear.ephemeral) for secret in secrets]  # 4
        ss = decapsulate(kem.secret, clear.ct)
        key, nonce = identity_key(suite, dhs, ss, encoded)  # 5
        plaintext = aead_open(suite, key, nonce, sealed, encoded)
        checks = [string(0, 4096), optional(string(0, MAX_SEALED)), uint(32)]
        checks += [string(0, MAX_SEALED), string(32), string(64)]
        checks += [optional(string(0, 64)), optional(string(0, 256))]
        found = fields(plaintext, "AGR-10", *checks)
        card_bytes, _log, device, _evidence, card_hash, signature, _mailbox, _capability = found
        demand(card_hash == self.keys.card.hash, "AGR-14: the hash of B's card")
        card = read_card(card_bytes, now, CONTACT_TTL)  # 6
        demand(suite in card.suites and suite in self.keys.card.suites, "AGR-14: the suite")
        opk_public = x25519_public(opk.secret) if opk else b""
        spk_public, pqpk = x25519_public(spk.secret), ratchet.kem_public(kem.secret)
        other = Side(card, device)
        ad = associated_data(other, self.side, clear, spk_public, opk_public, pqpk)
        h_ad = sha256(ad)  # 7
        verify(card.identity, proof_input(suite, h_ad), signature)
        dhs.insert(0, x25519(spk.secret, card.exchange))  # 8
        sk = session_key(suite, dhs, ss)
        replayable = opk is None and not kem.one_time
        if replayable:  # 9
            cache = store.replay[clear.kem_id]
            demand(len(cache) < MAX_REPLAY, "AGR-21: the replay cache is full")
            demand(replay_entry(sk) not in cache, "AGR-20: a replay")
        self._note_agreement(dhs, ss, ad, signature, plaintext, key, nonce, sk, suite)
        session = Session(
            ratchet.responder(suite, sk, h_ad, spk.secret, self.note),
            ratchet.start(suite, sk).session_id,
            card,
            device,
            prefix,
        )
        content = session.open(frame, now)  # 10
        self._accept(session, clear, kem.one_time, replay_entry(sk) if replayable else None)
        return session, content

    def _accept(
        self, session: Session, clear: Clear, one_time_kem: bool, entry: bytes | None
    ) -> None:
        """AGR-19, AGR-20, RAT-24: one transaction."""
        store = self.prekeys
        store.x25519.pop(clear.opk_id, None)
        if one_time_kem:
            del store.kem[clear.kem_id]
        if entry is not None:
            store.replay[clear.kem_id].add(entry)
        self.sessions.append(session)
        active = self.active(session.peer, session.peer_device)
        if active.answered or session.sid < active.sid:  # a reset, which is accepted here
            self.sessions.remove(session)
            self.sessions.insert(0, session)

    def active(self, peer: Card, device: int) -> Session:
        """The session that sending goes to."""
        of_peer = (s for s in self.sessions if (s.peer.id, s.peer_device) == (peer.id, device))
        return next(of_peer)


def replay_entry(sk: bytes) -> bytes:
    """AGR-20."""
    return hmac(sk, context("agreement/replay", 0))
