"""Changes to the bytes of a file, or to the words of a text, as wear and other programs make them; seeded."""

from __future__ import annotations

import re

import numpy as np

# Words that parsers stumble over, in the place of a number.
WORDS = [
    "nan", "inf", "-inf", "1e308", "-1e308", "1e999", "1e-308", "-1", "0", "99999999999", "99999999999999999999",
    "0x10", "1_0", "", "H", "1.5", "*****", "'", '"', "#", ";", "_", "data_", "loop_", "\0", "é", "@", "000001@",
    "2147483648",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 101, 255, 1024, 2**15, 2**31 - 1, -(2**31), 0x7F800000, 0x7FC00000, 0x10000000]


def mangle_bytes(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, cut, doubled or left out, or a word of four bytes made extreme."""
    out = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        # Headers stand at the beginning: half of the changes are there.
        span = len(out) if generator.random() < 0.5 else min(len(out), 300)
        at = int(generator.integers(0, max(span, 1)))
        match int(generator.integers(0, 6)):
            case 0:
                out[at : at + 1] = generator.bytes(1)
            case 1:
                del out[at:]
            case 2:
                del out[at : at + int(generator.integers(1, 40))]
            case 3:
                out[at:at] = out[at : at + int(generator.integers(1, 40))]
            case 4:
                out[at:at] = generator.bytes(int(generator.integers(1, 9)))
            case _:
                number = int(generator.choice(np.array(NUMBERS, np.int64))) & 0xFFFFFFFF
                order = "little" if generator.random() < 0.8 else "big"
                out[at // 4 * 4 : at // 4 * 4 + 4] = number.to_bytes(4, order)
    return bytes(out)


def mangle_text(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a text with words replaced, lines cut, doubled, joined or in another order; or mangled as bytes."""
    if generator.random() < 0.25:
        return mangle_bytes(content, generator)
    lines = content.decode().splitlines()
    for _ in range(int(generator.integers(1, 4))):
        k = int(
            generator.integers(0, len(lines))
            if generator.random() < 0.5
            else generator.integers(0, min(len(lines), 25))
        )
        match int(generator.integers(0, 6)):
            case 0:
                del lines[k]
            case 1:
                lines.insert(k, lines[int(generator.integers(0, len(lines)))])
            case 2:
                lines[k] = lines[k][: int(generator.integers(0, len(lines[k]) + 1))]
            case _:
                words = list(re.finditer(r"[-+\w.@]+", lines[k]))
                if words:
                    word = words[int(generator.integers(0, len(words)))]
                    new = str(generator.choice(np.array(WORDS, dtype=object)))
                    lines[k] = lines[k][: word.start()] + new + lines[k][word.end() :]
        if not lines:
            break
    return "\n".join(lines).encode() + b"\n"
