"""python -m sealwire_async selftest [MESSAGES] | vectors FOLDER | check FOLDER | peer

`selftest` plays two parties against a model, 20,000 messages unless told
otherwise. `vectors` writes the frozen vectors, `check` recomputes them and
compares. `peer` is a party over standard input and output; see peer.py.
"""

import sys


def main(arguments: list[str]) -> None:
    """Does what the command line says."""
    match arguments:
        case ["selftest", *count] if len(count) < 2:
            from . import selftest

            selftest.main(int(count[0]) if count else 20_000)
        case ["vectors" | "check" as command, folder]:
            from . import vectors

            getattr(vectors, command)(folder)
        case ["peer"]:
            from . import peer

            peer.main(sys.stdin, sys.stdout)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
