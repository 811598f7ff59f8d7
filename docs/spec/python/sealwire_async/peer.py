"""A party over standard input and output, for the tests of another implementation.

Each line in is one command, a JSON object with `op`; each line out is its
answer. Bytes are in hex. A session is named by its sid (RAT-5), which both
sides have. Optional arguments are in brackets.

    new      [seed, device, now]   a new agent; answers agent_id, card, kx_id, identity
                                   and exchange (its public keys), device. With a seed
                                   every draw is fixed. `now` (1800000000 unless given)
                                   stands still until `time` moves it.
    time     now
    card     identity_seed, exchange_secret
                                   a card (30 days, kx_id 1) for the driver's own
                                   secrets, so that it needs no cards of its own;
                                   answers as `new`
    bundle   [mailbox, capability] new prekeys; answers bundle
    page     kind, count           answers header, blobs
    initiate card, bundle, [device, suite, opk, kem, mailbox, capability]
                                   opk and kem are {header, blob}, as claimed; answers
                                   session
    seal     session, data         answers frame, with the prefix until an answer came
    open     frame                 any frame; answers session, data, new, agent_id,
                                   device
    respond  frame                 as `open`, but the session must be new
    repeat   session, on           prefix or none from now on (AGR-11)
    active   session               the session that sending to the same peer goes to
    forget   session               as if it had never been; its keys stay deleted
    state    session               root, epoch, kem_state, sent, received, skipped,
                                   kem_secrets (k_e in order)
    drawn                          what was drawn since the last time, named, in order

A command that the specification refuses answers {"error": "refused" |
"duplicate" | "skip limit", "why": ...}, the caller's misuse {"error": "misuse",
"why": ...}. The party goes on after either. It ends with its input.
"""

import json
import typing

from . import prekeys, vectors
from .agreement import Device, Session
from .card import make_keys, read_card
from .primitives import Duplicate, Misuse, Random, Refused, SkipLimit

Json = dict[str, typing.Any]
NAMES = {Duplicate: "duplicate", SkipLimit: "skip limit", Refused: "refused", Misuse: "misuse"}


class Peer:
    """One party; a method for each command."""

    def __init__(self) -> None:
        self.now = vectors.NOW
        self.device: Device | None = None

    def answer(self, command: Json) -> Json:
        """The answer to one command."""
        arguments = dict(command)
        method = getattr(self, "do_" + arguments.pop("op"))
        try:
            return method(**arguments)
        except (Refused, Misuse) as error:
            return {"error": NAMES[type(error)], "why": str(error)}

    @property
    def ours(self) -> Device:
        if self.device is None:
            raise Misuse("`new` comes first")
        return self.device

    def find(self, sid: str) -> Session:
        """A session by its name."""
        for session in self.ours.sessions:
            if session.sid.hex() == sid:
                return session
        raise Misuse("there is no such session")

    def do_new(self, seed: str | None = None, device: int = 0, now: int | None = None) -> Json:
        self.now = self.now if now is None else now
        source = Random(None if seed is None else bytes.fromhex(seed))
        self.device = Device(make_keys(source, self.now), source, device)
        return self.describe(self.device.keys.card) | {"device": device}

    def describe(self, card) -> Json:
        keys = {"identity": card.identity.hex(), "exchange": card.exchange.hex()}
        return {"agent_id": card.id, "card": card.bytes.hex(), "kx_id": card.kx_id} | keys

    def do_time(self, now: int) -> Json:
        self.now = now
        return {}

    def do_card(self, identity_seed: str, exchange_secret: str) -> Json:
        secrets = bytes.fromhex(identity_seed), bytes.fromhex(exchange_secret)
        return self.describe(make_keys(self.ours.random, self.now, secrets=secrets).card)

    def do_bundle(self, mailbox: str = "", capability: str = "") -> Json:
        names = bytes.fromhex(mailbox), bytes.fromhex(capability)
        data = self.ours.prekeys.make_bundle(self.ours.random, self.now, *names)
        return {"bundle": data.hex()}

    def do_page(self, kind: int, count: int) -> Json:
        page = self.ours.prekeys.make_page(self.ours.random, self.now, kind, count)
        return {"header": page.header.hex(), "blobs": [blob.hex() for blob in page.blobs]}

    def do_initiate(
        self,
        card: str,
        bundle: str,
        device: int = 0,
        suite: int = 1,
        opk: Json | None = None,
        kem: Json | None = None,
        mailbox: str | None = None,
        capability: str | None = None,
    ) -> Json:
        peer = read_card(bytes.fromhex(card), self.now)
        found = prekeys.read_bundle(bytes.fromhex(bundle), peer, device, self.now)
        claims = [
            claimed
            and prekeys.read_claim(
                bytes.fromhex(claimed["header"]),
                bytes.fromhex(claimed["blob"]),
                peer,
                device,
                kind,
                self.now,
            )
            for kind, claimed in ((prekeys.X25519, opk), (prekeys.ML_KEM, kem))
        ]
        reply = [None if value is None else bytes.fromhex(value) for value in (mailbox, capability)]
        session = self.ours.initiate(found, suite, *claims, reply=(reply[0], reply[1]))
        return {"session": session.sid.hex()}

    def do_seal(self, session: str, data: str) -> Json:
        frame = self.find(session).seal(bytes.fromhex(data), self.ours.random)
        return {"frame": frame.hex()}

    def do_open(self, frame: str) -> Json:
        session, data, new = self.ours.receive(bytes.fromhex(frame), self.now)
        names = {"agent_id": session.peer.id, "device": session.peer_device}
        return {"session": session.sid.hex(), "data": data.hex(), "new": new} | names

    def do_respond(self, frame: str) -> Json:
        answer = self.do_open(frame)
        if not answer["new"]:
            raise Misuse("the session was there")
        return answer

    def do_repeat(self, session: str, on: bool) -> Json:
        found = self.find(session)
        if on and not found.initiator:
            raise Misuse("only the initiator has a prefix")
        found.repeat = on
        return {}

    def do_active(self, session: str) -> Json:
        found = self.find(session)
        return {"session": self.ours.active(found.peer, found.peer_device).sid.hex()}

    def do_forget(self, session: str) -> Json:
        self.ours.sessions.remove(self.find(session))
        return {}

    def do_state(self, session: str) -> Json:
        found = self.find(session).ratchet
        return vectors.state(found) | {"kem_secrets": [k.hex() for k in found.secrets]}

    def do_drawn(self) -> Json:
        drawn, self.ours.random.drawn = self.ours.random.drawn, []
        return {"draws": [{"name": name, "value": value.hex()} for name, value in drawn]}


def main(commands: typing.TextIO, answers: typing.TextIO) -> None:
    """Answers until the input ends."""
    peer = Peer()
    for line in commands:
        print(json.dumps(peer.answer(json.loads(line))), file=answers, flush=True)
