"""One side of a classical Noise conversation, over standard input and output.

    noise_peer.py PROTOCOL initiator|responder SECRET [REMOTE_PUBLIC]

PROTOCOL is a full name such as Noise_IK_25519_ChaChaPoly_SHA256; the keys are
X25519 keys in hex. Every message is a frame: its length as a big-endian u16,
then its bytes.

1. The handshake, message I (from 0) with the payload "payload-ROLE-I".
2. Each side sends its 32-byte handshake hash in clear; they must be equal.
3. The initiator sends "transport-0" to "transport-2", encrypted; the responder
   answers each with its bytes reversed.

Exits with 0 if all of it happened, else with 1 and a sentence on stderr.
"""

import sys
import warnings

# The package still asks `cryptography` for things under their old names.
warnings.simplefilter("ignore")

from noise.connection import Keypair, NoiseConnection  # noqa: E402


class Mismatch(Exception):
    """What the peer sent is not what the conversation demands."""


def send(frame):
    """Writes one frame."""
    sys.stdout.buffer.write(len(frame).to_bytes(2, "big") + bytes(frame))
    sys.stdout.buffer.flush()


def receive():
    """Reads one frame."""
    return read_exactly(int.from_bytes(read_exactly(2), "big"))


def read_exactly(length):
    """Reads `length` bytes, or fails if the peer has closed its side."""
    data = sys.stdin.buffer.read(length)
    if len(data) != length:
        raise Mismatch("the peer closed in the middle of the conversation")
    return data


def expect(what, found, expected):
    """Fails unless `found` is as `expected`."""
    if bytes(found) != expected:
        raise Mismatch(f"{what} is {bytes(found)!r}, not {expected!r}")


def start(protocol, role, secret, remote_public):
    """A connection with its keys set."""
    noise = NoiseConnection.from_name(protocol.encode())
    if role == "initiator":
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(secret))
    if remote_public is not None:
        noise.set_keypair_from_public_bytes(
            Keypair.REMOTE_STATIC, bytes.fromhex(remote_public)
        )
    noise.start_handshake()
    return noise


def shake_hands(noise, role):
    """Runs the handshake: even messages are the initiator's."""
    other = "responder" if role == "initiator" else "initiator"
    index = 0
    while not noise.handshake_finished:
        if (index % 2 == 0) == (role == "initiator"):
            send(noise.write_message(f"payload-{role}-{index}".encode()))
        else:
            payload = noise.read_message(receive())
            expect("the payload", payload, f"payload-{other}-{index}".encode())
        index += 1


def converse(noise, role):
    """Compares the handshake hashes, then exchanges transport messages."""
    handshake_hash = bytes(noise.get_handshake_hash())
    send(handshake_hash)
    expect("the handshake hash", receive(), handshake_hash)
    for index in range(3):
        message = f"transport-{index}".encode()
        if role == "initiator":
            send(noise.encrypt(message))
            expect("the answer", noise.decrypt(receive()), message[::-1])
        else:
            expect("the message", noise.decrypt(receive()), message)
            send(noise.encrypt(message[::-1]))


def main(arguments):
    """Parses the command line and runs one conversation."""
    if len(arguments) not in (3, 4) or arguments[1] not in ("initiator", "responder"):
        sys.exit(__doc__)
    protocol, role, secret = arguments[:3]
    remote_public = arguments[3] if len(arguments) == 4 else None
    try:
        noise = start(protocol, role, secret, remote_public)
        shake_hands(noise, role)
        converse(noise, role)
    except Exception as error:  # noqa: BLE001: whatever it is, the case failed
        sys.exit(f"noise_peer.py ({role}): {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
