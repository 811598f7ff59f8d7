"""The frozen vectors: whole conversations, with every secret and intermediate value.

The format is described in crates/ratchet/tests/vectors/README.md.
"""

import json
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

from .agreement import Device, Session
from .card import Keys, make_keys
from .prekeys import ML_KEM, X25519, read_bundle, read_claim, read_page_header
from .primitives import AES_GCM, CHACHA_POLY, Random, Refused, x25519_public
from .ratchet import Ratchet

NOW = 1_800_000_000
NAMES = {AES_GCM: "aes-256-gcm", CHACHA_POLY: "chacha20-poly1305"}


class Recorder:
    """Takes the notes and draws of one event at a time."""

    def __init__(self, source: Random):
        self.source = source
        self.notes: dict[str, str | int] = {}

    def note(self, name: str, value: bytes | int) -> None:
        self.notes[name] = value.hex() if isinstance(value, bytes) else value

    @contextmanager
    def event(self) -> Iterator[dict]:
        """What was noted and drawn within."""
        self.notes, drawn = {}, len(self.source.drawn)
        found: dict = {}
        yield found
        draws = self.source.drawn[drawn:]
        found["draws"] = [{"name": name, "value": value.hex()} for name, value in draws]
        found["values"] = self.notes


def state(ratchet: Ratchet) -> dict:
    """What can be compared with another implementation's."""
    return {
        "root": ratchet.root.hex(),
        "epoch": ratchet.epoch,
        "kem_state": type(ratchet.kem).__name__.lower(),
        "sent": ratchet.ns,
        "received": ratchet.nr,
        "skipped": [[chain, n, key.key.hex()] for (chain, n), key in ratchet.skipped.items()],
    }


class Conversation:
    """Alice, who begins, and Bob."""

    def __init__(self, name: str, suite: int, one_time: bool):
        self.name, self.suite, self.one_time = name, suite, one_time
        self.source = Random(b"sealwire vectors " + name.encode())
        self.recorder = Recorder(self.source)
        self.keys = {role: make_keys(self.source, NOW) for role in ("initiator", "responder")}
        self.devices = {
            role: Device(keys, self.source, number, note=self.recorder.note)
            for (role, keys), number in zip(self.keys.items(), (3, 0), strict=True)
        }
        self.parties = [self.party(role, keys) for role, keys in self.keys.items()]
        self.events: list[dict] = []
        self.frames: list[bytes] = []
        self.prekeys = self.publish()
        self.agreement = self.begin()

    def party(self, role: str, keys: Keys) -> dict:
        """The secrets and the card of one side."""
        return {
            "role": role,
            "agent_id": keys.card.id,
            "device": self.devices[role].number,
            "kx_id": keys.card.kx_id,
            "identity_seed": keys.identity.hex(),
            "exchange_secret": keys.exchange.hex(),
            "card_seeds": {
                name: value.hex()
                for name, value in self.draws_of(role)
                if name.startswith("card_")
            },
            "card": keys.card.bytes.hex(),
            "card_hash": keys.card.hash.hex(),
        }

    def draws_of(self, role: str) -> list[tuple[str, bytes]]:
        """Each side has five draws, the initiator's first."""
        start = 0 if role == "initiator" else 5
        return self.source.drawn[start : start + 5]

    def publish(self) -> dict:
        """Bob's bundle and pages, from the private halves on."""
        bob = self.devices["responder"]
        card = bob.keys.card
        data = bob.prekeys.make_bundle(self.source, NOW, b"contact mailbox", b"capability")
        self.bundle = read_bundle(data, card, bob.number, NOW)
        bundle = {
            "signed_prekey_secret": bob.prekeys.signed[self.bundle.spk_id].secret.hex(),
            "last_resort_seed": bob.prekeys.kem[self.bundle.kem_id].secret.hex(),
            "spk_id": self.bundle.spk_id,
            "signed_prekey": self.bundle.spk.hex(),
            "kem_id": self.bundle.kem_id,
            "last_resort": self.bundle.kem.hex(),
            "mailbox": self.bundle.mailbox.hex(),
            "capability": self.bundle.capability.hex(),
            "sequence": self.bundle.sequence,
            "not_after": self.bundle.not_after,
            "bytes": data.hex(),
        }
        self.claims, pages = {}, []
        for kind, count, index in ((X25519, 5, 3), (ML_KEM, 3, 2)):
            page = bob.prekeys.make_page(self.source, NOW, kind, count)
            claim = read_claim(page.header, page.blobs[index], card, bob.number, kind, NOW)
            base, not_after, root = read_page_header(page.header)
            store = bob.prekeys.x25519 if kind == X25519 else bob.prekeys.kem
            secrets = [store[number].secret.hex() for number in range(base, base + count)]
            self.claims[kind] = claim
            pages.append(
                {"kind": kind, "base": base, "count": count, "not_after": not_after}
                | {"root": root.hex(), "secrets": secrets, "header": page.header.hex()}
                | {"blobs": [blob.hex() for blob in page.blobs], "claimed": index}
            )
        return {"bundle": bundle, "pages": pages}

    def begin(self) -> dict:
        """Alice's agreement."""
        claims = self.claims if self.one_time else {}
        with self.recorder.event() as found:
            self.session = self.devices["initiator"].initiate(
                self.bundle,
                self.suite,
                claims.get(X25519),
                claims.get(ML_KEM),
                (b"reply mailbox", None),
            )
        prefix = self.session.prefix
        return {
            "one_time": self.one_time,
            "opk_id": claims[X25519].id if claims else 0,
            "kem_id": claims[ML_KEM].id if claims else self.bundle.kem_id,
            "reply_mailbox": b"reply mailbox".hex(),
            "reply_capability": None,
            **found,
            "clear": prefix[:1139].hex(),
            "sealed": prefix[1141:].hex(),
            "prefix": prefix.hex(),
        }

    def session_of(self, role: str) -> Session:
        return self.session if role == "initiator" else self.devices["responder"].sessions[0]

    def seal(self, role: str, plaintext: bytes) -> int:
        """An event; the number of the frame."""
        session = self.session_of(role)
        with self.recorder.event() as found:
            frame = session.seal(plaintext, self.source)
        self.frames.append(frame)
        self.events.append(
            {"event": "seal", "by": role, "frame_number": len(self.frames) - 1}
            | {"plaintext": plaintext.hex(), **found}
            | {"ratchet_key": x25519_public(session.ratchet.own).hex(), "frame": frame.hex()}
            | {"state": state(session.ratchet)}
        )
        return len(self.frames) - 1

    def open(self, role: str, number: int) -> None:
        """An event."""
        event: dict = {"event": "open", "by": role, "frame_number": number}
        with self.recorder.event() as found:
            session, plaintext, new = self.devices[role].receive(self.frames[number], NOW)
        del found["draws"]
        event |= {"new_session": new, "plaintext": plaintext.hex(), **found}
        self.events.append(event | {"state": state(session.ratchet)})

    def refuse(self, role: str, number: int, why: str) -> None:
        """An event that changes nothing."""
        before = state(self.session_of(role).ratchet)
        try:
            self.devices[role].receive(self.frames[number], NOW)
        except Refused:
            assert state(self.session_of(role).ratchet) == before
            self.events.append({"event": "refuse", "by": role, "frame_number": number, "why": why})
            return
        raise AssertionError(why)

    def play(self) -> dict:
        """Loss, reordering and repetition over two epochs of the KEM ratchet."""
        a, b = "initiator", "responder"
        first, second, third = (self.seal(a, b"first message %d" % i) for i in range(3))
        self.open(b, second)
        self.refuse(b, second, "a repeat")
        answers = [self.seal(b, b"answer %d" % i) for i in range(4)]
        self.open(a, answers[2])
        self.open(b, first)
        more = [self.seal(a, b""), self.seal(a, bytes(range(256)) * 3)]
        self.open(b, more[1])
        self.open(a, answers[0])
        self.open(b, third)
        self.refuse(b, first, "a repeat of a skipped message")
        for turn in range(4):
            self.open(a, self.seal(b, b"to the initiator %d" % turn))
            self.open(b, self.seal(a, b"to the responder %d" % turn))
        self.open(a, answers[3])
        self.open(b, more[0])
        self.open(a, answers[1])
        self.refuse(a, answers[1], "a repeat of an old chain")
        return self.result()

    def play_short(self) -> dict:
        """The first message and its answer."""
        first = self.seal("initiator", b"first message")
        self.open("responder", first)
        self.open("initiator", self.seal("responder", b"answer"))
        return self.result()

    def result(self) -> dict:
        secrets = {role: self.session_of(role).ratchet.secrets for role in self.devices}
        shared = min(secrets.values(), key=len)
        assert all(found[: len(shared)] == shared for found in secrets.values())
        return {
            "name": self.name,
            "suite": self.suite,
            "now": NOW,
            "parties": self.parties,
            "prekeys": self.prekeys,
            "agreement": self.agreement,
            "events": self.events,
            "kem_secrets": [secret.hex() for secret in shared],
        }


def files() -> dict[str, str]:
    """The names and contents."""
    found = {}
    for suite, aead in NAMES.items():
        whole = Conversation(f"{aead} one-time", suite, one_time=True).play()
        short = Conversation(f"{aead} last-resort", suite, one_time=False).play_short()
        for case, name in ((whole, "conversation"), (short, "last-resort")):
            found[f"{name}-{aead}.json"] = json.dumps(case, indent=1) + "\n"
    return found


def vectors(folder: str) -> None:
    """Writes them."""
    for name, content in files().items():
        (pathlib.Path(folder) / name).write_text(content, encoding="utf-8")


def check(folder: str) -> None:
    """Compares them with what is there."""
    for name, content in files().items():
        there = (pathlib.Path(folder) / name).read_text(encoding="utf-8")
        if there != content:
            raise SystemExit(f"{name} is not what the specification gives")
