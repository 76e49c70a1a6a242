"""Media of odd forms, in odd/ beside this file, and what faster-whisper's decoder makes of them: odd.json.

usage: odd.py   (with faster-whisper 1.2.1; made with PyAV 18.1.0, which brings its own FFmpeg 8)

The sounds are tones, another one in each channel. Of each file the number of samples, the root mean square of each tenth of a
second, and 64 samples, evenly spaced, in 16-bit steps. FFmpeg's encoders differ from version to version, so files that
exist are kept, and only the goldens are made anew.
"""
import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from faster_whisper.audio import decode_audio

here = Path(__file__).parent
odd = here / "odd"


def tones(rate, channels, seconds):
    time = np.arange(int(rate * seconds)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (220 + 110 * channel) * time) for channel in range(channels)])


def encode(form, codec, rate, layout, seconds, begin=0.0, options=None, bit_rate=None):
    file = io.BytesIO()
    container = av.open(file, "w", format=form, options=options or {})
    stream = container.add_stream(codec, rate=rate, layout=layout)
    if bit_rate:
        stream.bit_rate = bit_rate
    context = stream.codec_context
    samples = tones(rate, av.AudioLayout(layout).nb_channels, seconds)
    resampler = av.AudioResampler(format=context.format, layout=layout, rate=rate, frame_size=context.frame_size or 1024)
    interleaved = samples.T.reshape(1, -1).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, int(begin * rate), Fraction(1, rate)
    for ready in resampler.resample(frame) + resampler.resample(None):
        container.mux(stream.encode(ready))
    container.mux(stream.encode(None))
    container.close()
    return file.getvalue()


def damaged(data, begin, end):
    """With every third byte of that part turned over."""
    data = bytearray(data)
    for place in range(int(len(data) * begin), int(len(data) * end), 3):
        data[place] ^= 0xFF
    return bytes(data)


def he_aac(plain):
    """AAC of 24 kHz that says of itself it is HE-AAC of 48 kHz. The bits of spectral band replication are not there, as no encoder
    for them is at hand; decoders then leave the upper band empty."""
    file = io.BytesIO()
    container, source = av.open(file, "w", format="ipod"), av.open(io.BytesIO(plain))
    stream = container.add_stream_from_template(source.streams.audio[0])
    # AudioSpecificConfig: SBR (5) of 24 kHz (6), 1 channel, 48 kHz (3), over AAC LC (2).
    stream.codec_context.extradata = int("00101" "0110" "0001" "0011" "00010" "000" "0000000", 2).to_bytes(4, "big")
    for packet in source.demux(audio=0):
        if packet.dts is not None:
            packet.stream = stream
            container.mux(packet)
    container.close()
    return file.getvalue()


def many_streams(count):
    """The first has the sound, the others a moment of it."""
    file = io.BytesIO()
    container = av.open(file, "w", format="matroska")
    streams = [container.add_stream("pcm_s16le", rate=8_000, layout="mono") for _ in range(count)]
    for number, stream in enumerate(streams):
        samples = tones(8_000, 1, 0.02 if number else 0.5)
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8_000, 0, Fraction(1, 8_000)
        container.mux(stream.encode(frame))
    container.close()
    return file.getvalue()


def adts(rate, layout, seconds):
    return encode("adts", "aac", rate, layout, seconds, bit_rate=48_000)


MADE = {
    "channels-6.m4a": lambda: encode("ipod", "aac", 48_000, "5.1", 0.8, bit_rate=128_000),
    "channels-8.ogg": lambda: encode("ogg", "libopus", 48_000, "7.1", 0.8, bit_rate=128_000),
    "channels-6.wav": lambda: encode("wav", "pcm_s16le", 16_000, "5.1", 0.1),
    "rate-11025.m4a": lambda: encode("ipod", "aac", 11_025, "mono", 1.0, bit_rate=24_000),
    "rate-12000.m4a": lambda: encode("ipod", "aac", 12_000, "stereo", 1.0, bit_rate=24_000),
    "rate-11025.wav": lambda: encode("wav", "pcm_s16le", 11_025, "mono", 0.5),
    "rate-12000.flac": lambda: encode("flac", "flac", 12_000, "mono", 0.5),
    "edit-late.m4a": lambda: encode("ipod", "aac", 44_100, "mono", 0.8, begin=0.5, bit_rate=48_000),
    "gapless.mp3": lambda: encode("mp3", "libmp3lame", 44_100, "stereo", 0.8, bit_rate=64_000),
    "form-changes.aac": lambda: adts(44_100, "mono", 0.5) + adts(48_000, "stereo", 0.5),
    "damaged.mp3": lambda: damaged(encode("mp3", "libmp3lame", 44_100, "mono", 1.0, bit_rate=64_000), 0.4, 0.5),
    "damaged.aac": lambda: damaged(adts(44_100, "mono", 1.0), 0.4, 0.5),
    "damaged.ogg": lambda: damaged(encode("ogg", "libopus", 48_000, "mono", 1.0, options={"page_duration": "100000"}), 0.4, 0.5),
    "streams-40.mka": lambda: many_streams(40),
    "he-aac.m4a": lambda: he_aac(encode("ipod", "aac", 24_000, "mono", 0.8, bit_rate=32_000)),
}

odd.mkdir(exist_ok=True)
lines = []
for name, make in MADE.items():
    path = odd / name
    if not path.exists():
        path.write_bytes(make())
    try:
        samples = np.round(decode_audio(str(path)).astype(np.float64) * 32768).astype(int)
    except ValueError as error:
        lines.append(json.dumps({"file": name, "fails": str(error)}))
        continue
    parts = np.split(samples, range(1600, len(samples), 1600))
    rms = [round(float(np.sqrt(np.mean(part.astype(np.float64) ** 2))), 1) for part in parts]
    spaced = [int(samples[i * len(samples) // 64]) for i in range(64)]
    lines.append(json.dumps({"file": name, "samples": len(samples), "rms": rms, "spaced": spaced}))
(here / "odd.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
