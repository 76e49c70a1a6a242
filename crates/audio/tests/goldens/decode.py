"""What faster-whisper's decoder makes of the audio fixtures: decode.json beside this file.

usage: decode.py   (with faster-whisper 1.2.1; made with PyAV 18.1.0, which brings its own FFmpeg 8)

Of each file the number of samples, the root mean square of each second, and 64 samples, evenly spaced, in 16-bit steps.
"""
import json
from pathlib import Path

import numpy as np
from faster_whisper.audio import decode_audio

here = Path(__file__).parent
audio = here.parents[3] / "fixtures" / "audio"
lines = []
for path in sorted(audio.iterdir()):
    if path.suffix == ".json":
        continue
    samples = np.round(decode_audio(str(path)).astype(np.float64) * 32768).astype(int)
    rms = [round(float(np.sqrt(np.mean(second.astype(np.float64) ** 2))), 1) for second in np.split(samples, range(16000, len(samples), 16000))]
    spaced = [int(samples[i * len(samples) // 64]) for i in range(64)]
    golden = {"file": path.name, "samples": len(samples), "rms": rms, "spaced": spaced}
    lines.append(json.dumps(golden))
(here / "decode.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
