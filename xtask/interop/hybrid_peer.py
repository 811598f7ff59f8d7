"""One side of a hybrid handshake and its records, as `hybrid.py` reads docs/spec.

    hybrid_peer.py card SECRETS
    hybrid_peer.py initiator|responder XX|IK SUITE SECRETS PEER_CARD [FAULT]
    hybrid_peer.py vectors FILE

SECRETS is in hex: Ed25519 seed 32 | X25519 secret 32 | ML-KEM-768 d | z 64. The
handshake knows cards as opaque bytes; here a card is Ed25519 key 32 | X25519
key 32 | ML-KEM-768 key 1184, in hex, and `card` prints it. The initiator is
"alice" and the responder is "bob"; the kx_id is 7.

Standard input and output carry the bytes of the specification and nothing
else. After the handshake the initiator sends its `contents`, the responder its
own, the initiator a close, the responder more data and a close. Last of all,
each sends its channel binding in clear.

FAULT is what this side does wrong, and it is well when the peer refuses that:
`proof` (a signature in another name), `gate` (of another card), or
`low-order-e`.

`vectors` recomputes every value of crates/noise/tests/vectors/hybrid.json but
the two that are drawn inside ML-KEM, the ciphertexts of the preamble and of
message 2: those are taken from the file, and opened.

Exits with 0 if all was as it should be, else with 1 and a sentence on stderr.
"""

import hmac
import json
import sys

from hybrid import (
    CLOSE,
    DATA,
    IK,
    INITIATOR,
    KEM_CIPHERTEXT,
    NAMES,
    PAD,
    REKEY,
    RESPONDER,
    SUITES,
    XX,
    Agent,
    Handshake,
    Refused,
    Wrong,
    before_gate,
    demand,
    draw,
    gate,
    gate_key,
    kem_key,
    psk0,
)

# The wire


def send(data):
    """Writes bytes as they are."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def framed(message):
    """HS-10."""
    return len(message).to_bytes(2, "big") + message


def read_exactly(length):
    """Reads `length` bytes, or fails if the peer has closed its side."""
    data = sys.stdin.buffer.read(length)
    demand(len(data) == length, "the peer stopped")
    return data


def receive():
    """A handshake message (HS-10) or a record (REC-1) without its length."""
    length = int.from_bytes(read_exactly(2), "big")
    if length == 0:  # HS-12
        raise Refused
    return read_exactly(length)


def read_preamble():
    """Reads what an initiator sends first: suite, pattern, kx_id, the bytes up
    to the gate, and the gate."""
    head = read_exactly(4)
    version, suite, pattern, count = head
    known = version == 1 and suite in SUITES and pattern in NAMES and 1 <= count <= 8
    demand(known, "HS-2: version, suite, pattern and count are known")
    offered = read_exactly(count)
    ascending = list(offered) == sorted(set(offered))
    demand(ascending and set(offered) <= set(SUITES), "HS-3: ascending, all known")
    demand(suite in offered, "HS-3: the suite is among those offered")
    number = read_exactly(4)
    kx_id = int.from_bytes(number, "big")
    demand((kx_id == 0) == (pattern == XX), "HS-3: kx_id is 0 in XX only")
    ciphertext = read_exactly(KEM_CIPHERTEXT) if pattern == IK else b""
    tag = read_exactly(32) if pattern == IK else b""
    return suite, pattern, kx_id, head + offered + number + ciphertext, tag


def initiate(pattern, suite, me, peer, fault):
    """The handshake as the initiator."""
    draws, ciphertext, psk = draw(96), b"", None
    if pattern == IK:
        shared, ciphertext = kem_key(peer.kem).encapsulate()
        psk = psk0(suite, peer.kem, ciphertext, shared)
    preamble = before_gate(pattern, suite, peer.kx_id if pattern == IK else 0, ciphertext)
    handshake = Handshake(INITIATOR, pattern, suite, preamble, me, peer, psk, draws, fault)
    message1 = handshake.write()
    tag = gate(peer.kem, preamble, message1) if pattern == IK else b""
    if fault == "gate":
        tag = gate(me.kem, preamble, message1)  # Of another card.
    send(preamble + tag + framed(message1))
    handshake.read(receive())
    if pattern == XX:
        send(framed(handshake.write()))
    session = handshake.finish()
    if pattern == IK and fault is None:
        send(session.sealer.seal(DATA))  # HS-11
    return session


def respond(pattern, suite, me, peer, fault):
    """The handshake as the responder."""
    found_suite, found_pattern, kx_id, preamble, tag = read_preamble()
    demand((found_suite, found_pattern) == (suite, pattern), "another preamble")
    message1, psk = receive(), None
    if pattern == IK:
        demand(kx_id == me.kx_id, "another kx_id")
        expected = gate(me.kem, preamble, message1)
        demand(hmac.compare_digest(tag, expected), "HS-5: the gate")
        ciphertext = preamble[-KEM_CIPHERTEXT:]
        psk = psk0(suite, me.kem, ciphertext, me.kem_secret.decapsulate(ciphertext))
    handshake = Handshake(RESPONDER, pattern, suite, preamble, me, peer, psk, draw(32), fault)
    handshake.read(message1)
    send(framed(handshake.write()))
    if pattern == XX:
        handshake.read(receive())
    session = handshake.finish()
    if pattern == IK:
        first = session.opener.open(receive())
        demand(first == (DATA, b""), "HS-11: the first record is empty data")
    return session


# The conversation


def contents(name):
    """What each side says: some of it ends as a type and padding would."""
    return [name, bytes(range(255, -1, -1)) * 64, b"\2\0\1\0\0", name[::-1]]


def speak(sealer, name):
    """Sends the contents, amid records of every other type (REC-3)."""
    first, second, third, fourth = contents(name)
    send(sealer.seal(DATA, first, zeros=100) + sealer.seal(DATA) + sealer.seal(PAD, zeros=1000))
    send(sealer.seal(DATA, second) + sealer.seal(REKEY) + sealer.seal(DATA, third, zeros=1))
    send(sealer.seal(REKEY) + sealer.seal(PAD) + sealer.seal(DATA, fourth))


def expect(opener, kind, content):
    """Reads the next record that carries something."""
    found = PAD, b""
    while found[0] in (PAD, REKEY) or found == (DATA, b""):
        found = opener.open(receive())
    demand(found == (kind, content), f"a record is {found!r}, not {(kind, content)!r}")


def converse(session, role, me, peer):
    """Records both ways, both closes (REC-8), and the channel binding in clear."""
    if role == INITIATOR:
        speak(session.sealer, me.name)
    for content in contents(peer.name):
        expect(session.opener, DATA, content)
    if role == INITIATOR:
        send(session.sealer.seal(CLOSE, b"\0"))
        expect(session.opener, DATA, b"after the close")
        expect(session.opener, CLOSE, b"\2")
    else:
        speak(session.sealer, me.name)
        expect(session.opener, CLOSE, b"\0")
        send(session.sealer.seal(DATA, b"after the close") + session.sealer.seal(CLOSE, b"\2"))
    send(session.binding)
    demand(read_exactly(32) == session.binding, "HS-13: the channel binding")


def talk(role, pattern, suite, secrets, peer_card, fault=None):
    """One conversation; with a fault, up to the refusal."""
    role = {"initiator": INITIATOR, "responder": RESPONDER}[role]
    pattern, suite = {"XX": XX, "IK": IK}[pattern], int(suite)
    names = (b"alice", b"bob") if role == INITIATOR else (b"bob", b"alice")
    me = Agent(names[0], secrets=bytes.fromhex(secrets))
    peer = Agent(names[1], card=bytes.fromhex(peer_card))
    begin = initiate if role == INITIATOR else respond
    try:
        session = begin(pattern, suite, me, peer, fault)
        if fault is None:
            converse(session, role, me, peer)
            return
        receive()
    except Refused:
        demand(fault is not None, "the peer refused")
        demand(sys.stdin.buffer.read() == b"", "HS-12: nothing follows a refusal here")
        return
    raise Wrong(f"the peer accepts the fault `{fault}`")


# Vectors


def vector_agent(case, role):
    """An agent of hybrid.json, whose card is opaque, and its randomness."""
    seeds = bytes.fromhex(case[f"{role}_seeds"])
    agent = Agent(bytes.fromhex(case[f"{role}_id"]), secrets=seeds[3:35] + seeds[39:135])
    agent.kx_id = int.from_bytes(seeds[35:39], "big")
    agent.card, agent.log, agent.evidence = bytes.fromhex(case[f"{role}_card"]), None, b""
    agent.card_hash = bytes.fromhex(case.get(f"{role}_card_hash", ""))
    return agent, bytes.fromhex(case[f"{role}_random"])


def recompute(case):
    """Plays both sides of one case; gives the values by their names in the file."""
    pattern, suite = case["pattern"], case["suite"]
    alice, alice_random = vector_agent(case, "initiator")
    bob, bob_random = vector_agent(case, "responder")
    found, psk, ciphertext, tag = {}, None, b"", b""
    if pattern == IK:
        ciphertext = bytes.fromhex(case["preamble"])[10:-32]
        shared = bob.kem_secret.decapsulate(ciphertext)
        psk = found["psk0"] = psk0(suite, bob.kem, ciphertext, shared)
        found["gate_key"] = gate_key(bob.kem)
    preamble = before_gate(pattern, suite, bob.kx_id if pattern == IK else 0, ciphertext)
    ours = Handshake(INITIATOR, pattern, suite, preamble, alice, bob, psk, alice_random)
    theirs = Handshake(RESPONDER, pattern, suite, preamble, bob, alice, psk, bob_random)
    found["message1"] = ours.write()
    if pattern == IK:
        tag = gate(bob.kem, preamble, found["message1"])
    found["preamble"] = preamble + tag
    theirs.read(found["message1"])
    ours.read(bytes.fromhex(case["message2"]))
    theirs.encapsulate = lambda: ours.encapsulated
    found["message2"] = theirs.write()
    if pattern == XX:
        found["message3"] = ours.write()
        theirs.read(found["message3"])
    at_alice, at_bob = ours.finish(), theirs.finish()
    if pattern == IK:
        found["confirmation"] = at_alice.sealer.seal(DATA)
    content = bytes.fromhex(case["content_to_responder"])
    found["to_responder"] = at_alice.sealer.seal(DATA, content)
    content = bytes.fromhex(case["content_to_initiator"])
    found["to_initiator"] = at_bob.sealer.seal(DATA, content)
    found["close_to_responder"] = at_alice.sealer.seal(CLOSE, bytes([case["close_reason"]]))
    demand(at_alice.binding == at_bob.binding, "HS-13: the channel binding")
    found["channel_binding"] = at_alice.binding
    return found


def vectors(file):
    """Recomputes every value of every case."""
    with open(file, encoding="utf-8") as opened:
        cases = json.load(opened)["cases"]
    demand(len(cases) == 4, "four cases")
    for case in cases:
        for name, value in recompute(case).items():
            demand(value.hex() == case[name], f"{case['name']}: {name} is {value.hex()}")


def main(arguments):
    """Does what the command line says."""
    try:
        match arguments:
            case ["card", secrets]:
                print(Agent(b"", secrets=bytes.fromhex(secrets)).card.hex())
            case ["vectors", file]:
                vectors(file)
            case ["initiator" | "responder", _, _, _, _, *faults] if len(faults) < 2:
                talk(*arguments)
            case _:
                sys.exit(__doc__)
    except Exception as error:  # noqa: BLE001: whatever it is, the case failed
        sys.exit(f"hybrid_peer.py {' '.join(arguments[:3])}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
