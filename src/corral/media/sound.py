"""A sound file to samples: one channel, 16,000 a second, 16 bits.

Trust: media jail; libsndfile and its decoders are memory-unsafe code on hostile bytes. It is told
by its own first look at the file which format it is, so that is compared with what was asked for.
"""

from __future__ import annotations

from math import ceil, gcd
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import soundfile

from corral.media.formats import SoundFormat
from corral.media.layout import MalformedError, TooLargeError
from corral.media.wire import SAMPLES_PER_S

Floats = np.ndarray[tuple[int], np.dtype[np.float32]]

FILE: Final = Path("/tmp/sound")  # noqa: S108  the jail's own, empty and gone with it
"""libsndfile reads files or calls back; memory for callbacks would be writable and executable."""
_FORMATS: Final[dict[str, SoundFormat]] = {
    "WAV": "wav", "WAVEX": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3", "MPEG": "mp3",
}  # fmt: skip
_RATES: Final = frozenset({
    8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000,
})  # fmt: skip
_CHANNELS_MAX: Final = 8
_FRAMES_AT_ONCE: Final = 65536
_HALF_WIDTH: Final = 16
"""Zero crossings of the low-pass filter on each side: it is 80 dB down outside of its band."""
_OUT_AT_ONCE: Final = 8192


class Samples(NamedTuple):
    """A sound.

    Attributes:
        pcm: 2 bytes for each sample, low byte first.
        was_rate: frames a second of the file.
        was_channels: of the file.
    """

    pcm: bytes
    was_rate: int
    was_channels: int


def read_sound(format_: SoundFormat, data: bytes, *, seconds_max: int) -> Samples:
    """Decode a sound.

    Args:
        format_: what it has to be.
        data: the file.
        seconds_max: longest that is taken.

    Raises:
        TooLargeError: longer, by what the file says or by what comes out of it.
        MalformedError: another format, an odd rate, too many channels, or no sound at all.
        Exception: whatever soundfile raises on a malformed file.
    """
    FILE.write_bytes(data)
    with soundfile.SoundFile(str(FILE)) as sound:
        rate, channels = sound.samplerate, sound.channels
        if _FORMATS.get(sound.format) != format_ or rate not in _RATES or channels > _CHANNELS_MAX:
            raise MalformedError
        frames_max = seconds_max * rate
        if sound.frames > frames_max:
            raise TooLargeError
        pieces: list[Floats] = []
        frames = 0
        while piece := bytes(sound.buffer_read(_FRAMES_AT_ONCE, dtype="float32")):
            mixed = np.frombuffer(piece, np.float32).reshape(-1, channels).mean(axis=1)
            frames += len(mixed)
            if frames > frames_max:
                raise TooLargeError
            pieces.append(np.nan_to_num(mixed, posinf=1, neginf=-1).clip(-1, 1))
    if not frames:
        raise MalformedError
    mono = resample(np.concatenate(pieces), rate)
    pcm = (mono.clip(-1, 1) * 32767).round().astype("<i2").tobytes()
    return Samples(pcm, rate, channels)


def resample(sound: Floats, rate: int) -> Floats:
    """Return a sound at 16,000 samples a second.

    A windowed sinc in as many phases as the two rates need (polyphase): sample n of the result lies
    at n * down / up in the source. Kaiser's window, beta 8.
    Source: Oppenheim and Schafer, Discrete-Time Signal Processing, 4.6 and 7.6.
    """
    if rate == SAMPLES_PER_S:
        return sound
    common = gcd(rate, SAMPLES_PER_S)
    up, down = SAMPLES_PER_S // common, rate // common
    cutoff = min(1.0, up / down)
    half = ceil(_HALF_WIDTH / cutoff)
    padded = np.pad(sound, (half, half + down + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)
    length = ceil(len(sound) * up / down)
    result = np.empty(length, np.float32)
    for phase in range(min(up, length)):
        first, fraction = divmod(phase * down, up)
        places = np.arange(1 - half, half + 1) - fraction / up
        taper = np.i0(8 * np.sqrt(np.clip(1 - (places / half) ** 2, 0, 1))) / np.i0(8)
        taps = (cutoff * np.sinc(cutoff * places) * taper).astype(np.float32)
        mine = result[phase::up]
        for start in range(0, len(mine), _OUT_AT_ONCE):
            out = mine[start : start + _OUT_AT_ONCE]
            begin = 1 + first + start * down
            out[:] = windows[begin : begin + len(out) * down : down] @ taps
    return result
