"""Two parties under loss, reordering, repetition and change, against a model.

The model of a receiver knows which messages were skipped and when, and nothing
of keys. Every message must open exactly when the model says so; nothing else
may open; and whatever is refused must leave the state as it was.
"""

import copy
import random
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from . import mlkem, prekeys, ratchet
from .agreement import Device, Session
from .card import DAY, make_keys, read_card
from .prekeys import ML_KEM, X25519, read_bundle, read_claim
from .primitives import (
    AES_GCM,
    CHACHA_POLY,
    Misuse,
    Random,
    Refused,
    SkipLimit,
    decapsulate,
    hchacha20,
    kem_public,
    pad,
    unpad,
    x25519_public,
)
from .ratchet import Limits, Ratchet

NOW = 1_800_000_000


def snapshot(state: Ratchet) -> dict:
    """All of a state, to compare, and nothing that a change would reach."""
    plain = {name: value for name, value in vars(state).items() if name != "note"}
    return copy.deepcopy(plain)


def refuses(call, *arguments) -> bool:
    """Whether a call is refused."""
    try:
        call(*arguments)
    except Refused:
        return True
    return False


# The model of a receiver


@dataclass
class Sent:
    """A message on its way."""

    frame: bytes
    text: bytes
    chain: int  # of the sender, from 0
    n: int
    previous: int  # messages of the chain before
    first: int = 0  # length of a prefix


@dataclass
class Model:
    """Which messages open, by RAT-19 to RAT-22."""

    limits: Limits
    chain: int = -1
    next: int = 0
    opened: int = 0
    skipped: OrderedDict = field(default_factory=OrderedDict)  # (chain, n): (time, message)

    def opens(self, message: Sent, now: int) -> bool:
        """Whether it opens now; if so, it has."""
        self_before = self.chain, self.next, OrderedDict(self.skipped)
        if self._opens(message, now):
            self.opened += 1
            return True
        self.chain, self.next, self.skipped = self_before
        return False

    def _opens(self, message: Sent, now: int) -> bool:
        number = self.opened + 1
        for place, (stored, at) in list(self.skipped.items()):
            old = now - stored > self.limits.age_seconds
            if old or number - at > self.limits.age_messages:
                del self.skipped[place]
        if message.chain < self.chain or (message.chain, message.n) < (self.chain, self.next):
            return self.skipped.pop((message.chain, message.n), None) is not None
        skips = []
        if message.chain > self.chain:
            skips = [(self.chain, n) for n in range(self.next, message.previous)]
            self.chain, self.next = message.chain, 0
        skips += [(self.chain, n) for n in range(self.next, message.n)]
        if len(skips) > self.limits.skip:
            return False
        self.next = message.n + 1
        self.skipped.update(dict.fromkeys(skips, (now, number)))
        while len(self.skipped) > self.limits.stored:
            self.skipped.popitem(last=False)
        chains = sorted({chain for chain, _ in self.skipped if chain != self.chain})
        for dropped in chains[: max(0, len(chains) - self.limits.old_chains)]:
            for place in [place for place in self.skipped if place[0] == dropped]:
                del self.skipped[place]
        return True


@dataclass
class Party:
    """One side: its ratchet, the model of it, and what is on its way to it."""

    ratchet: Ratchet
    model: Model
    inbox: list[Sent] = field(default_factory=list)
    chain: int = -1
    in_chain: int = 0
    heard: bool = True  # of a chain that was not there at our last send
    wedged: bool = False  # by more losses in a row than the limit

    def send(self, to: "Party", text: bytes, source: Random) -> None:
        """One message into the other's inbox."""
        if self.heard:
            self.chain, self.heard = self.chain + 1, False
            self.previous, self.in_chain = self.in_chain, 0
        frame = self.ratchet.seal(text, source)
        to.inbox.append(Sent(frame, text, self.chain, self.in_chain, self.previous))
        self.in_chain += 1

    def receive(self, message: Sent, now: int) -> bool:
        """Opens it exactly if the model says so."""
        before, chain = snapshot(self.ratchet), self.model.chain
        expected = self.model.opens(message, now)
        try:
            found = self.ratchet.open(message.frame, now)
        except Refused as error:
            assert not expected, f"refused without reason: {error}"
            self.wedged = self.wedged or isinstance(error, SkipLimit)
            assert snapshot(self.ratchet) == before, "RAT-21: a refusal changed the state"
            return False
        assert expected, "opened what the model refuses"
        assert found == message.text
        self.heard = self.heard or self.model.chain > chain
        limits = self.ratchet.limits
        assert len(self.ratchet.skipped) <= limits.stored
        assert len(self.ratchet.old) <= limits.old_chains
        assert set(self.ratchet.skipped) == set(self.model.skipped)
        return True


def pair(source: Random, suite: int, limits: Limits, **switches) -> tuple[Party, Party]:
    """Two ends of a session that begins with a random SK."""
    sk, h_ad = source.draw("sk", 32), source.draw("h_ad", 32)
    spk, own = source.draw("spk", 32), source.draw("own", 32)
    a = ratchet.initiator(suite, sk, h_ad, x25519_public(spk), own, limits=limits, **switches)
    b = ratchet.responder(suite, sk, h_ad, spk, limits=limits, **switches)
    return Party(a, Model(limits)), Party(b, Model(limits), heard=False)


def schedule(seed: int, messages: int, limits: Limits, **switches) -> tuple[int, int, int]:
    """Random sends, losses, repeats, reorderings and changes; what was sent, opened,
    refused."""
    dice, source = random.Random(seed), Random(seed.to_bytes(8, "big"))
    a, b = pair(source, dice.choice([AES_GCM, CHACHA_POLY]), limits, **switches)
    stranger, _ = pair(source, AES_GCM, limits, **switches)
    loss, disorder = dice.choice([0, 0.1, 0.5]), dice.choice([0, 0.3, 1])
    patience = dice.choice([4, 30])  # Below the rate of sending, messages pile up.
    now, sent, opened, refused = NOW, 0, 0, 0
    used: list[Sent] = []
    while sent < messages:
        sender, receiver = (a, b) if dice.random() < 0.5 or b.model.opened == 0 else (b, a)
        for _ in range(dice.choice([1, 1, 1, 2, 3, 20])):
            sender.send(receiver, dice.randbytes(dice.randrange(40)), source)
            sent += 1
        for party in (a, b):
            for _ in range(dice.randrange(min(patience, len(party.inbox)) + 1)):
                index = dice.randrange(len(party.inbox)) if dice.random() < disorder else 0
                message = party.inbox.pop(index)
                if dice.random() < loss:
                    continue
                good = party.receive(message, now)
                opened, refused = opened + good, refused + (not good)
                if dice.random() < 0.1:
                    assert not party.receive(message, now), "a repeat opened"
                used.append(message)
                if dice.random() < 0.05:
                    damage(party, dice.choice(used), dice, now)
        now += dice.choice([0, 1, 60, 3600])
    foreign(stranger, a, source, now)
    common = min(len(a.ratchet.secrets), len(b.ratchet.secrets))
    assert a.ratchet.secrets[:common] == b.ratchet.secrets[:common], "k_e differ"
    assert abs(len(a.ratchet.secrets) - len(b.ratchet.secrets)) <= 1
    assert not a.ratchet.pq or a.ratchet.epoch == a.chain, "RAT-16: an epoch a chain"
    settle(a, b, source, now)
    return sent, opened, refused


def damage(party: Party, message: Sent, dice: random.Random, now: int) -> None:
    """One changed bit: refused, and nothing changes."""
    frame = bytearray(message.frame)
    frame[dice.randrange(len(frame))] ^= 1 << dice.randrange(8)
    before = snapshot(party.ratchet)
    assert refuses(party.ratchet.open, bytes(frame), now), "a changed message opened"
    assert snapshot(party.ratchet) == before


def foreign(stranger: Party, party: Party, source: Random, now: int) -> None:
    """A message of another session."""
    assert refuses(party.ratchet.open, stranger.ratchet.seal(b"", source), now)


def settle(a: Party, b: Party, source: Random, now: int) -> None:
    """After all loss both go on, and six turns bring a new epoch; but for a session that
    lost more than the limit in a row."""
    epoch = min(a.ratchet.epoch, b.ratchet.epoch)
    for _ in range(6):
        for sender, receiver in ((a, b), (b, a)):
            sender.send(receiver, b"settle", source)
            if not receiver.receive(receiver.inbox[-1], now):
                assert receiver.wedged, "the session does not go on"
                return
    if a.ratchet.pq:
        assert min(a.ratchet.epoch, b.ratchet.epoch) > epoch, "no new epoch"
        assert a.ratchet.secrets[: b.ratchet.epoch] == b.ratchet.secrets[: b.ratchet.epoch]


def exhaustive() -> int:
    """Every way in which 5 messages, each of either side, arrive at once or last of all."""
    limits, count = Limits(), 0
    for sides in range(2**5):
        for lost in range(2**5):
            source = Random(b"exhaustive")
            a, b = pair(source, CHACHA_POLY, limits, header_encryption=False)
            a.send(b, b"first", source)
            assert b.receive(b.inbox.pop(), NOW)
            late: list[tuple[Party, Sent]] = []
            for i in range(5):
                sender, receiver = (a, b) if sides >> i & 1 else (b, a)
                sender.send(receiver, b"x", source)
                message = receiver.inbox.pop()
                if lost >> i & 1:
                    late.append((receiver, message))
                else:
                    assert receiver.receive(message, NOW)
            for receiver, message in late:
                assert receiver.receive(message, NOW), "a late message was refused"
            count += 1
    return count


# Limits and edges


def limits_and_edges() -> None:
    """RAT-22 at its numbers, and generators that fail."""
    source = Random(b"limits")
    a, b = pair(source, CHACHA_POLY, Limits())
    frames = [a.ratchet.seal(b"", source) for _ in range(1002)]
    assert refuses(b.ratchet.open, frames[1001], NOW), "1,001 skipped"
    b.ratchet.open(frames[1000], NOW)
    assert len(b.ratchet.skipped) == 1000
    b.ratchet.open(frames[0], NOW + 7 * DAY)
    assert refuses(b.ratchet.open, frames[1], NOW + 7 * DAY + 1), "too old"
    for counter in ("ns", "epoch"):
        sender, receiver = pair(source, AES_GCM, Limits())
        setattr(sender.ratchet, counter, 2**31)
        try:
            frame = sender.ratchet.seal(b"", source)
        except Misuse:
            assert counter == "ns"
        else:
            assert refuses(receiver.ratchet.open, frame, NOW)
    sender, _ = pair(source, AES_GCM, Limits())
    before, source.failing = snapshot(sender.ratchet), True
    for length in (0, 70_000):
        try:
            sender.ratchet.seal(bytes(length), source)
        except Misuse:
            pass
        assert snapshot(sender.ratchet) == before
    source.failing = False
    assert len(sender.ratchet.seal(bytes(760), source)) == 2048
    assert len(sender.ratchet.seal(bytes(761), source)) == 4096
    assert len(sender.ratchet.seal(bytes(64_248), source)) == 65_536
    wrong_side(source)


def wrong_side(source: Random) -> None:
    """RAT-3 and RAT-19: a kind of the wrong side, filler, an early chain."""
    a, b = pair(source, AES_GCM, Limits())
    good = a.ratchet._make_field
    for kind, content in ((2, bytes(1184)), (3, bytes(1184)), (0, bytes(1183) + b"\1"), (0, b"")):
        a.ratchet.__dict__["_make_field"] = lambda _, found=(kind, content): found
        twin = replace(a.ratchet)
        twin._make_field = a.ratchet._make_field  # type: ignore[method-assign]
        length = 2048 - twin.overhead - len(content) + 1184
        frame = twin._seal(b"", source, length)
        assert len(frame) == 2048 and refuses(b.ratchet.open, frame, NOW), kind
    del a.ratchet.__dict__["_make_field"]
    assert a.ratchet._make_field.__func__ is good.__func__
    b.ratchet.open(a.ratchet.seal(b"", source), NOW)
    a.ratchet._sending_step(source)  # Without having heard from B.
    assert refuses(b.ratchet.open, a.ratchet.seal(b"", source), NOW)
    a, b = pair(source, AES_GCM, Limits())
    b.ratchet.open(a.ratchet.seal(b"", source), NOW)
    a.ratchet.open(b.ratchet.seal(b"", source), NOW)
    a.ratchet.ns = 0  # The chain that B has read one message of had none, A says.
    assert refuses(b.ratchet.open, a.ratchet.seal(b"", source), NOW)


# Prekeys and agreement


def claim(device: Device, kind: int, count: int, index: int):
    """A page of a device, and one verified claim from it."""
    page = device.prekeys.make_page(device.random, NOW, kind, count)
    number = device.number
    return read_claim(page.header, page.blobs[index], device.keys.card, number, kind, NOW)


def devices(seed: bytes) -> tuple[Device, Device]:
    """Alice's and Bob's."""
    source = Random(seed)
    return Device(make_keys(source, NOW), source, 3), Device(make_keys(source, NOW), source, 0)


def begin(a: Device, b: Device, suite: int, one_time: bool) -> Session:
    """A session of a's with b."""
    data = b.prekeys.make_bundle(b.random, NOW, b"mailbox", b"capability")
    bundle = read_bundle(data, read_card(b.keys.card.bytes, NOW), b.number, NOW)
    if not one_time:
        return a.initiate(bundle, suite)
    return a.initiate(bundle, suite, claim(b, X25519, 5, 3), claim(b, ML_KEM, 3, 2))


def pages() -> None:
    """PRE-9 to PRE-13: every leaf of every size; no other path, key, id or header."""
    source = Random(b"pages")
    alice = Device(make_keys(source, NOW), source)
    card = alice.keys.card
    for count in (1, 2, 3, 4, 5, 7, 8, 9, 33, 100):
        page = alice.prekeys.make_page(source, NOW, X25519, count)
        for index, blob in enumerate(page.blobs):
            found = read_claim(page.header, blob, card, 0, X25519, NOW)
            assert x25519_public(alice.prekeys.x25519[found.id].secret) == found.key
            other = bytearray(blob)
            other[source.draw("at", 2)[0] % len(blob)] ^= 1
            assert refuses(read_claim, page.header, bytes(other), card, 0, X25519, NOW), index
    for index in range(len(page.header)):
        header = bytearray(page.header)
        header[index] ^= 1
        assert refuses(read_claim, bytes(header), page.blobs[7], card, 0, X25519, NOW)
    for kind, device, now in ((ML_KEM, 0, 0), (X25519, 1, 0), (X25519, 0, 53 * DAY)):
        assert refuses(read_claim, page.header, page.blobs[7], card, device, kind, NOW + now)
    data = alice.prekeys.make_bundle(source, NOW, b"m", b"")
    read_bundle(data, card, 0, NOW)
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        assert refuses(read_bundle, bytes(changed), card, 0, NOW), index
    assert refuses(read_bundle, data, card, 0, NOW + prekeys.BUNDLE_LIFE + 1)


def agreements() -> None:
    """Both suites, with and without one-time keys; replay, change, a prefix in any order."""
    for suite in (AES_GCM, CHACHA_POLY):
        for one_time in (False, True):
            alice, bob = devices(b"agreement")
            session = begin(alice, bob, suite, one_time)
            frames = [session.seal(b"hello %d" % i, alice.random) for i in range(4)]
            for index in (0, 1, 2, 5, 9, 13, 17, 40, 700, 1139, 1140, 1500, 5500, 9000):
                changed = bytearray(frames[2])
                changed[index] ^= 1
                assert refuses(bob.receive, bytes(changed), NOW), index
            assert refuses(bob.receive, frames[2], NOW + 30 * DAY), "keys that are gone"
            assert len(bob.prekeys.x25519) == (5 if one_time else 0)
            _, text, new = bob.receive(frames[2], NOW)
            assert (text, new) == (b"hello 2", True)
            assert len(bob.prekeys.x25519) == (4 if one_time else 0)
            assert refuses(bob.receive, frames[2], NOW), "a duplicate"
            assert bob.receive(frames[0], NOW)[1:] == (b"hello 0", False)
            answer = bob.sessions[0].seal(b"answer", bob.random)
            assert alice.receive(answer, NOW)[1] == b"answer"
            assert session.seal(b"", alice.random)[:2] == b"\1\2", "AGR-11"
            forged = frames[1][:1141] + bytes(10) + frames[1][1151:]
            assert refuses(bob.receive, forged, NOW), "AGR-13"
            bob.sessions.clear()
            assert refuses(bob.receive, frames[1], NOW), "AGR-19, AGR-20: a replay"


def one_ephemeral_key() -> None:
    """AGR-13: another frame under the ephemeral key of a stored session."""
    alice, bob = devices(b"ephemeral")
    data = bob.prekeys.make_bundle(bob.random, NOW, b"", b"")
    bundle, drawn = read_bundle(data, bob.keys.card, 0, NOW), alice.random.count
    frames = []
    for reply in (b"one", b"two"):
        alice.random.count = drawn  # The same draws again.
        session = alice.initiate(bundle, CHACHA_POLY, reply=(reply, None))
        frames.append(session.seal(b"", alice.random))
    bob.receive(frames[0], NOW)
    for cache in bob.prekeys.replay.values():
        assert len(cache) == 1
        cache.clear()  # It would refuse too.
    assert refuses(bob.receive, frames[1], NOW)
    bob.sessions.clear()
    bob.receive(frames[1], NOW)


def simultaneous() -> None:
    """RAT-24, with every combination of first messages lost."""
    for seed in range(8):
        alice, bob = devices(b"simultaneous" + bytes([seed]))
        to_bob = begin(alice, bob, AES_GCM, one_time=True)
        to_alice = begin(bob, alice, AES_GCM, one_time=True)
        for turn in range(3):
            first = alice.active(bob.keys.card, 0).seal(b"a", alice.random)
            second = bob.active(alice.keys.card, 3).seal(b"b", bob.random)
            if turn or seed & 1:
                bob.receive(first, NOW)
            if turn or seed & 2:
                alice.receive(second, NOW)
        sids = alice.active(bob.keys.card, 0).sid, bob.active(alice.keys.card, 3).sid
        assert sids[0] == sids[1]
        if seed & 3 == 3 or seed & 3 == 0:
            assert sids[0] == min(to_bob.sid, to_alice.sid)


def building_blocks() -> None:
    """What `cryptography` does not give."""
    key, nonce = bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927")
    expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert hchacha20(key, nonce).hex() == expected  # draft-irtf-cfrg-xchacha-03, 2.2.1
    source = Random(b"kem")
    for _ in range(20):
        seed = source.draw("seed", 64)
        shared, ct = mlkem.encapsulate(kem_public(seed), source.draw("m", 32))
        assert decapsulate(seed, ct) == shared
    for content in (b"", b"\x80", b"\0", b"text\0\x80"):
        assert unpad(pad(content, len(content) + 5)) == content
    assert refuses(unpad, b"\0\0") and refuses(unpad, b"") and refuses(unpad, b"\x81\0")


def main(messages: int) -> None:
    """Everything."""
    began = time.monotonic()
    tests = building_blocks, pages, agreements, one_ephemeral_key, simultaneous, limits_and_edges
    for test in tests:
        test()
        print(f"{test.__name__}: good", file=sys.stderr)
    print(f"exhaustive: {exhaustive()} schedules", file=sys.stderr)
    small = Limits(skip=100, stored=60, age_messages=200, old_chains=4)
    modes = [{}, {"header_encryption": False}, {"pq": False, "header_encryption": False}]
    runs, total = 30, [0, 0, 0]
    for seed in range(runs):
        limits = Limits() if seed % 2 else small
        mode = modes[0] if seed % 5 < 3 else modes[seed % 5 - 2]
        counts = schedule(seed, messages // runs, limits, **mode)
        total = [old + new for old, new in zip(total, counts, strict=True)]
    seconds = time.monotonic() - began
    print(
        f"schedules: {total[0]} sent, {total[1]} opened once, {total[2]} beyond the limits; "
        f"{seconds:.0f} s",
        file=sys.stderr,
    )
