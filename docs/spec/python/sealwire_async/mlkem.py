"""ML-KEM-768 (FIPS 203) as far as `cryptography` does not give it.

That package makes keys from seeds and decapsulates; its encapsulation draws its
own randomness, so encapsulation from given bytes is here, by the algorithms of
FIPS 203. Names are those of the standard.
"""

import functools
import hashlib

N, Q, K = 256, 3329, 3
DU, DV = 10, 4
EK_LEN, CT_LEN = 1184, 1088

Poly = list[int]


def _bit_reversed(index: int) -> int:
    return int(f"{index:07b}"[::-1], 2)


ZETAS = [pow(17, _bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _bit_reversed(i) + 1, Q) for i in range(128)]


def is_canonical(ek: bytes) -> bool:
    """Section 7.2: the length, and every coefficient below q."""
    return len(ek) == EK_LEN and all(c < Q for c in _decode(ek[: 384 * K], 12))


@functools.lru_cache(maxsize=4096)  # Pure, and slow.
def encapsulate(ek: bytes, m: bytes) -> tuple[bytes, bytes]:
    """Algorithm 17: (shared secret, ciphertext) from 32 bytes of randomness."""
    g = hashlib.sha3_512(m + hashlib.sha3_256(ek).digest()).digest()
    return g[:32], _encrypt(ek, m, g[32:])


def _encrypt(ek: bytes, m: bytes, r: bytes) -> bytes:
    """Algorithm 14, K-PKE.Encrypt."""
    t_hat = [_decode(ek[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    rho = ek[384 * K :]
    y_hat = [_ntt(_sample_cbd(r, i)) for i in range(K)]
    e1 = [_sample_cbd(r, K + i) for i in range(K)]
    e2 = _sample_cbd(r, 2 * K)
    u = []
    for i in range(K):
        row = [_sample_ntt(rho + bytes([i, j])) for j in range(K)]  # A transposed
        u.append(_add(_inverse_ntt(_dot(row, y_hat)), e1[i]))
    mu = [bit * ((Q + 1) // 2) for bit in _decode(m, 1)]
    v = _add(_add(_inverse_ntt(_dot(t_hat, y_hat)), e2), mu)
    return b"".join(_encode(_compress(p, DU), DU) for p in u) + _encode(_compress(v, DV), DV)


def _decode(data: bytes, bits: int) -> Poly:
    whole, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    return [(whole >> bits * i) & mask for i in range(8 * len(data) // bits)]


def _encode(values: Poly, bits: int) -> bytes:
    whole = sum(value << bits * i for i, value in enumerate(values))
    return whole.to_bytes(bits * len(values) // 8, "little")


def _compress(poly: Poly, bits: int) -> Poly:
    return [((c << bits) + Q // 2) // Q % (1 << bits) for c in poly]


def _sample_ntt(seed: bytes) -> Poly:
    """Algorithm 7."""
    stream, found = hashlib.shake_128(seed).digest(1680), []
    for i in range(0, len(stream), 3):
        a, b, c = stream[i : i + 3]
        found += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    assert len(found) >= N, "1,680 bytes are too few with a chance far below 2^-100"
    return found[:N]


def _sample_cbd(r: bytes, nonce: int) -> Poly:
    """Algorithm 8 with eta = 2, on PRF(r, nonce)."""
    bits = _decode(hashlib.shake_256(r + bytes([nonce])).digest(128), 1)
    pairs = [bits[i] + bits[i + 1] for i in range(0, len(bits), 2)]
    return [(pairs[i] - pairs[i + 1]) % Q for i in range(0, len(pairs), 2)]


def _ntt(poly: Poly) -> Poly:
    """Algorithm 9."""
    f, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def _inverse_ntt(poly: Poly) -> Poly:
    """Algorithm 10."""
    f, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = zeta * (f[j + length] - t) % Q
        length *= 2
    return [c * 3303 % Q for c in f]


def _add(a: Poly, b: Poly) -> Poly:
    return [(x + y) % Q for x, y in zip(a, b, strict=True)]


def _dot(a: list[Poly], b: list[Poly]) -> Poly:
    """The sum of the products (algorithms 11 and 12)."""
    total = [0] * N
    for f, g in zip(a, b, strict=True):
        for i, gamma in enumerate(GAMMAS):
            a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
            total[2 * i] += a0 * b0 + a1 * b1 % Q * gamma
            total[2 * i + 1] += a0 * b1 + a1 * b0
    return [c % Q for c in total]
