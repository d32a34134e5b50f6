"""A second reader of deltas, written from the description in tenon/delta.h alone: second_reader.py BASE DELTA RESULT

It is slow, and says only that something is wrong."""
import hashlib
import math
import struct
import sys

WIDTH = [1, 1, 2, 4, 8, 2, 2, 4, 8]
DEPTH = [4, 4, 5, 6, 7, 5, 5, 6, 7]
EXPONENT = [0, 0, 0, 0, 0, 5, 8, 8, 11]
FRACTION = [0, 0, 0, 0, 0, 10, 7, 23, 52]
COPY, CHANGE, NEW = 0, 1, 2
KNOTS = [round(65536 / (1 + math.exp(12 - i / 2))) for i in range(49)]


def quotient(a, b):
    """Towards zero."""
    return a // b if a >= 0 else -(-a // b)


def squash(x):
    u = max(-3071, min(3071, x)) + 3072
    i, r = divmod(u, 128)
    return max(1, min(65535, (KNOTS[i] * (128 - r) + KNOTS[i + 1] * r + 64) // 128))


def stretch_table():
    table, x = [], -3071
    for v in range(4096):
        while x < 3071 and squash(x) // 16 < v:
            x += 1
        table.append(x)
    return table


STRETCH = stretch_table()


class Slot:
    def __init__(self):
        self.q, self.n = 1 << 21, 0

    def learn(self, bit):
        target = (1 << 22) - 1 if bit else 0
        self.q += quotient((target - self.q) * (131072 // (2 * self.n + 3)), 65536)
        self.n = min(self.n + 1, 400)


class Slots(dict):
    """Of any keys, made when they are met."""

    def __missing__(self, key):
        self[key] = Slot()
        return self[key]


class Block:
    def __init__(self, steps, base, offset):
        self.data, self.at = steps, 8
        self.low, self.high, self.ups = 0, (1 << 64) - 1, 0
        self.code = int.from_bytes((steps + bytes(8))[:8], "big")
        self.base, self.expected, self.held = base, offset, offset
        self.slots, self.mixers = Slots(), {}
        self.kind, self.type = 3, 0
        self.state = [{"l": [0, 0, 0], "e1": 0, "a": 0, "s": 0} for _ in WIDTH]
        self.news = [0] * 8

    def up(self):
        while self.low >> 56 == self.high >> 56:
            byte = self.data[self.at] if self.at < len(self.data) else 0
            self.at, self.ups = self.at + 1, self.ups + 1
            self.low = self.low << 8 & (1 << 64) - 1
            self.high = (self.high << 8 | 255) & (1 << 64) - 1
            self.code = (self.code << 8 | byte) & (1 << 64) - 1

    def bit(self, p):
        middle = self.low + ((self.high - self.low) >> 16) * p
        bit = int(self.code <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        self.up()
        return bit

    def raw(self, count):
        value = 0
        while count > 0:
            n = min(count, 16)
            count -= n
            part = (self.high - self.low) >> n
            if part == 0:
                for _ in range(n):
                    value = value << 1 | self.bit(32768)
                continue
            v = min((self.code - self.low) // part, (1 << n) - 1)
            self.low += part * v
            if v != (1 << n) - 1:
                self.high = self.low + part - 1
            self.up()
            value = value << n | v
        return value

    def learnt(self, key):
        slot = self.slots[key]
        bit = self.bit(max(1, slot.q // 64))
        slot.learn(bit)
        return bit

    def mixed(self, mixer, keys):
        w = self.mixers.setdefault(mixer, [26214] * 3)
        slots = [self.slots[k] for k in keys]
        x = [STRETCH[s.q // 1024] for s in slots]
        p = squash(quotient(sum(a * b for a, b in zip(x, w)), 65536))
        bit = self.bit(p)
        for i in range(3):
            w[i] = max(-(1 << 20), min(1 << 20, w[i] + quotient(x[i] * (65536 * bit - p), 131072)))
            slots[i].learn(bit)
        return bit

    def tree(self, key, depth):
        node = 1
        for _ in range(depth):
            node = 2 * node + self.learnt((key, node))
        return node - (1 << depth)

    def below(self, key, n):
        first = min(n, 3)
        return self.tree(key, first) << (n - first) | self.raw(n - first)

    def number(self, key):
        n = self.tree(("size", key), 6)
        return (1 << n) + self.below(("L", n), n)

    def change(self, t, b):
        w, state = WIDTH[t], self.state[t]
        l1, l2, l3 = state["l"]
        bits = 8 * w
        e = (b >> FRACTION[t] & ((1 << EXPONENT[t]) - 1)) >> max(0, EXPONENT[t] - 8) if FRACTION[t] else 0
        if FRACTION[t]:
            c = (
                max(0, min(255, quotient(state["a"] - 16 * e, 8))),
                e,
                (0 if l1 == 0 else max(1, min(127, l1 + state["e1"] - e))) + (0 if l2 == 0 else 128),
            )
        elif w == 1:
            c = (
                b,
                64 * min(l1, 3) + 16 * min(l2, 3) + 4 * min(l3, 3) + state["s"],
                4 * min(state["a"] // 4, 63) + (0 if b == 0 else 1 if b >= 128 else 2 if b < 32 else 3),
            )
        else:
            c = (l1, 16 * min(l1, 15) + min(l2, 15), b.bit_length())
        node = 1
        for _ in range(DEPTH[t]):
            node = 2 * node + self.mixed((t, node), [("length", t, i, c[i], node) for i in range(3)])
        l = min(node - (1 << DEPTH[t]), bits)
        down, magnitude = 0, 0
        if l:
            down = self.learnt(("down", t, 4 * state["s"] + 2 * (l <= 2) + (b >> (bits - 1))))
            magnitude = (1 << (l - 1)) + self.below(("M", t, l), l - 1)
        top, mask = 1 << (bits - 1), (1 << bits) - 1
        order = b if not FRACTION[t] else b ^ mask if b & top else b | top
        order = (order - magnitude if down else order + magnitude) & mask
        if FRACTION[t] and l:
            now = 16 * (l + e)
            state["a"] = state["a"] + quotient(now - state["a"], 8) if state["a"] else now
        elif not FRACTION[t]:
            state["a"] += quotient(16 * l - state["a"], 16)
        state["l"], state["e1"], state["s"] = [l, l1, l2], e, (2 if down else 1) if l else 0
        return order if not FRACTION[t] else order ^ top if order & top else order ^ mask

    def new(self, i, w):
        node = 1
        keys = ((0, i), (1, i % 4, self.news[w - 1]), (2, self.news[0]))
        for _ in range(8):
            node = 2 * node + self.mixed(("new", i), [("new", k, node) for k in keys])
        self.news = [node - 256] + self.news[:7]
        return node - 256

    def step(self):
        self.kind = kind = self.tree(("kind", self.kind), 2)
        assert kind < 3
        if kind != COPY:
            self.type = self.tree(("type", self.type), 4)
            assert self.type < 9
        t = 0 if kind == COPY else self.type
        place = self.expected
        if kind != NEW and self.learnt("moved"):
            place = self.held
            if self.learnt("elsewhere"):
                back = self.learnt("back")
                far = self.number("P")
                place = self.expected - far if back else self.expected + far
        count = self.number((kind, t))
        length = count * WIDTH[t]
        assert place >= 0 and (kind == NEW or place + length <= len(self.base))
        self.expected = place + length
        if kind != NEW:
            self.held = place + length
        if kind == COPY:
            return self.base[place : place + length]
        if kind == NEW:
            return bytes(self.new(i, WIDTH[t]) for _ in range(count) for i in range(WIDTH[t]))
        out = bytearray()
        for at in range(place, place + length, WIDTH[t]):
            b = int.from_bytes(self.base[at : at + WIDTH[t]], "little")
            out += self.change(t, b).to_bytes(WIDTH[t], "little")
        return bytes(out)


def check(*parts):
    return hashlib.sha256(b"".join(parts)).digest()[:4]


def apply(base, delta):
    magic, major, minor, own, base_bytes, result_bytes = struct.unpack_from("<8sHH4sQQ", delta)
    assert magic == b"\x89TND\r\n\x1a\n" and (major, minor) == (1, 0)
    assert own == check(delta[:12], delta[16:96])
    assert base_bytes == len(base) and delta[32:64] == hashlib.sha256(base).digest()
    assert result_bytes <= 1024 * (base_bytes + (1 << 20))
    result, at = bytearray(), 96
    while len(result) < result_bytes:
        stored, length = struct.unpack_from("<II", delta, at)
        steps = delta[at + 16 : at + 16 + stored]
        assert stored <= 3 << 20 and 1 <= length <= min(1 << 30, result_bytes - len(result)) and len(steps) == stored
        assert delta[at + 12 : at + 16] == check(delta[at : at + 12], steps)
        block, made = Block(steps, base, len(result)), bytearray()
        while len(made) < length:
            made += block.step()
        assert len(made) == length and block.ups >= stored - 1 and (not stored or steps[-1])
        assert delta[at + 8 : at + 12] == check(made)
        result += made
        at += 16 + stored
    assert at == len(delta) and hashlib.sha256(result).digest() == delta[64:96]
    return bytes(result)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as b, open(sys.argv[2], "rb") as d, open(sys.argv[3], "wb") as r:
        r.write(apply(b.read(), d.read()))
