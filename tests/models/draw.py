"""Makes what the real models are to look at and listen to, in the folder that is given.

plate.ppm, plate.txt        a machine's name plate, and the words on it
captcha.ppm, captcha.txt    a word behind lines, as web pages ask people to read it
scattered.ppm               words here and there
speech.wav, speech.txt      people speaking (recordings of Debian's pocketsphinx-testdata) in the hum of a machine;
                            from which second to which, and what
tones.wav, tones.txt        notes with overtones; from which second to which, and at how many Hz
"""
import pathlib
import sys
import wave

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

RECORDINGS = pathlib.Path("/usr/share/pocketsphinx/test/data")
PLATE = ["TENON WORKS", "TYPE TM-42", "400 V  50 Hz", "SERIAL 20261125"]
RATE = 16000
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(42)


def grain(image, strength):
    """The noise of a camera."""
    pixels = np.asarray(image, np.float32) + random.normal(0, strength, (image.height, image.width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def plate():
    width, height = 1000, 640
    shade = np.linspace(150, 205, width)[None, :] + np.linspace(20, -20, height)[:, None]
    image = Image.fromarray(np.repeat(shade[:, :, None], 3, 2).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((20, 20, width - 20, height - 20), 30, outline=(70, 70, 75), width=6)
    for x, y in [(60, 60), (width - 60, 60), (60, height - 60), (width - 60, height - 60)]:
        draw.ellipse((x - 16, y - 16, x + 16, y + 16), fill=(110, 110, 115), outline=(60, 60, 65), width=3)
    for row, text in enumerate(PLATE):
        draw.text((130, 85 + 125 * row), text, (35, 35, 40), ImageFont.load_default(size=76))
    grain(image.filter(ImageFilter.GaussianBlur(1)), 6).save(folder / "plate.ppm")
    (folder / "plate.txt").write_text("\n".join(word for line in PLATE for word in line.split()))


def captcha(text="mk4w7"):
    image = Image.new("RGB", (170, 64), (240, 244, 238))
    draw = ImageDraw.Draw(image)
    for k, letter in enumerate(text):
        tile = Image.new("L", (40, 56), 0)
        ImageDraw.Draw(tile).text((6, 2), letter, 255, ImageFont.load_default(size=40))
        tile = tile.rotate(random.uniform(-12, 12), Image.Resampling.BILINEAR)
        colour = tuple(int(c) for c in random.integers(20, 130, 3))
        image.paste(colour, (10 + 30 * k, int(random.integers(0, 8))), tile)
    for _ in range(3):
        line = [int(random.integers(0, 170)), int(random.integers(0, 64)), int(random.integers(0, 170)), int(random.integers(0, 64))]
        draw.line(line, tuple(int(c) for c in random.integers(90, 190, 3)), 1)
    grain(image, 5).save(folder / "captcha.ppm")
    (folder / "captcha.txt").write_text(text)


def scattered():
    image = Image.new("RGB", (400, 240), (205, 220, 230))
    draw = ImageDraw.Draw(image)
    for text, x, y in [("T", 40, 30), ("M", 180, 120), ("4", 320, 40), ("2", 80, 160)]:
        draw.text((x, y), text, (150, 30, 40), ImageFont.load_default(size=44))
    grain(image, 5).save(folder / "scattered.ppm")


def write_wave(name, samples, notes):
    with wave.open(str(folder / f"{name}.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    (folder / f"{name}.txt").write_text("".join(f"{start:.2f} {end:.2f} {what}\n" for start, end, what in notes))


def recording(path):
    data = (RECORDINGS / path).read_bytes()
    return np.frombuffer(data[44:] if path.endswith(".wav") else data, "<i2") / 32768


def speech():
    parts = [("goforward.raw", "go forward ten meters"), ("librivox/sense_and_sensibility_01_austen_64kb-0880.wav", "a novel, read aloud")]
    pieces, notes = [np.zeros(RATE)], []
    for path, what in parts:
        voice = recording(path)
        start = sum(map(len, pieces)) / RATE
        notes.append((start, start + len(voice) / RATE, what))
        pieces += [voice, np.zeros(2 * RATE)]
    samples = np.concatenate(pieces)
    t = np.arange(len(samples)) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 8))
    write_wave("speech", samples + 0.004 * hum + 0.002 * random.standard_normal(len(t)), notes)


def tones():
    pieces, notes = [], []
    for k, hertz in enumerate([110.0, 196.0, 261.63, 440.0]):
        t = np.arange(RATE // 2) / RATE
        tone = sum(np.sin(2 * np.pi * hertz * n * t) / n for n in range(1, 7))
        pieces.append(0.2 * tone * np.minimum(1, np.minimum(t, t[::-1]) / 0.02))
        notes.append((k / 2, (k + 1) / 2, f"{hertz:.2f}"))
    write_wave("tones", np.concatenate(pieces), notes)


plate()
captcha()
scattered()
speech()
tones()
