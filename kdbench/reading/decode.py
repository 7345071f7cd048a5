"""One file's bytes into 8-bit pixels, exactly, or the reason why not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from kdbench.reading.errors import Unreadable
from kdbench.reading.names import FORMAT_OF, printable
from kdbench.reading.plain import plain
from kdbench.reading.png_sums import SIGNATURE, check_png
from kdbench.reading.sixteen_bits import eight_bits, has_sixteen_bits, sixteen_bits

Pixels = NDArray[np.uint8]

FORMATS = tuple(dict.fromkeys(FORMAT_OF.values()))

MAX_PIXELS = 8192 * 8192
"""Of one image; below the number at which Pillow warns of a decompression bomb."""

ORIENTATION = 274
"""Tag of EXIF and TIFF."""

_MAY_TURN = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
"""Where Pillow finds an orientation."""

REMEDY = {
    "CMYK": "CMYK colours, whose look depends on a profile; convert it to RGB",
    "LAB": "LAB colours; convert it to RGB",
    "YCbCr": "YCbCr colours as such; convert it to RGB",
    "I": "32-bit integers, whose range is not known; scale it to 8 bits",
    "F": "floating-point pixels, whose range is not known; scale it to 8 bits",
}
"""Why a Pillow mode is not read."""


# What happened to pixels on the way, as a note says it after "n of N images".
SIXTEEN = "of 16 bits a channel: round(v / 257)."
OPAQUE = "with an alpha channel that is opaque throughout: dropped."
PALETTE = "with a palette: looked up as RGB."
ONE_BIT = "of 1 bit: 0 and 255."
TURNED = "turned as their EXIF orientation says."
PROFILE = "with a colour profile: ignored."


@dataclass(frozen=True)
class Picture:
    """What a file holds."""

    pixels: Pixels
    """(C, H, W), one channel or three."""
    format: str
    """As Pillow names it."""
    treatments: tuple[str, ...]


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow as this package needs it, whatever the rest of the process has set.

    Entered by the thread that starts the others: both settings are the whole process's.
    """
    Image.init()
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.", category=UserWarning)  # odd EXIF
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def declared_bytes(data: bytes) -> int:
    """What an image takes when decoded, from its header.

    Raises:
        Unreadable: it is none that is read.
    """
    with _opened(data) as image:
        channels = 1 if len(image.getbands()) < 3 and image.mode[0] != "P" else 3
        return image.width * image.height * channels


def decode(data: bytes) -> Picture:
    """The pixels of one image, under the policy of `kdbench.reading`.

    Raises:
        Unreadable: they cannot be had exactly.
    """
    if data.startswith(SIGNATURE):
        check_png(data)
    return _decode_plain(data) or _decode_any(data)


def _decode_plain(data: bytes) -> Picture | None:
    found = plain(data)
    if found is None or not 0 < found.width * found.height <= MAX_PIXELS:
        return None
    pixels = found.pixels()
    return None if pixels is None else Picture(pixels, found.format, ())


def _decode_any(data: bytes) -> Picture:
    with _opened(data) as image:
        profile = [PROFILE] if "icc_profile" in image.info else []
        by_pillow = _orientation(image) if image.format == "TIFF" else 1  # it turns these itself
        if has_sixteen_bits(image):
            with _opened(data) as again:
                values, done = _without_alpha(sixteen_bits(image, again))
            values, done = eight_bits(values), [SIXTEEN, *done]
        else:
            values, done = _eight_bit_pixels(image)
        by_us = _orientation(image) if image.format != "TIFF" else 1
        turned = [TURNED] if max(by_pillow, by_us) > 1 else []
        pixels = _upright(values.transpose(2, 0, 1), by_us)
        return Picture(pixels, image.format or "", (*profile, *done, *turned))


@contextmanager
def _opened(data: bytes) -> Iterator[ImageFile.ImageFile]:
    """An image with its header checked; whatever goes wrong within becomes Unreadable."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image)
            yield image
    except (Unreadable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image, or damaged at its start") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"too many pixels; {MAX_PIXELS:,} are read") from None
    except Exception as error:  # what a damaged file makes a decoder raise is not foreseeable
        raise Unreadable(f"damaged: {printable(str(error)) or type(error).__name__}") from error


def _check_header(image: ImageFile.ImageFile) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width:,} × {height:,} is too many pixels; {MAX_PIXELS:,} are read")
    if getattr(image, "is_animated", False):
        raise Unreadable("more than one frame or page; save the one that is meant")
    if image.mode in REMEDY:
        raise Unreadable(REMEDY[image.mode])


def _eight_bit_pixels(image: Image.Image) -> tuple[Pixels, list[str]]:
    """(H, W, C) of one or three channels, and what was done for it."""
    mode = image.mode
    if mode in ("RGB", "L", "1") and "transparency" in image.info:
        raise Unreadable("one of its colours is declared transparent; remove that")
    if mode in ("RGB", "L"):
        values = np.asarray(image)
        return (values if mode == "RGB" else values[..., None]), []
    if mode == "1":
        return np.asarray(image.convert("L"))[..., None], [ONE_BIT]
    if mode not in ("P", "LA", "RGBA"):
        raise Unreadable(f"pixels of the kind {mode}, which is not read; convert it to RGB")
    if mode == "P":
        image = _looked_up(image)
    values, done = _without_alpha(np.asarray(image))
    return values, done + ([PALETTE] if mode == "P" else [])


def _looked_up(image: Image.Image) -> Image.Image:
    """RGB or RGBA of a palette; Pillow makes black of what is not in it."""
    image.load()
    entries = len(image.palette.palette) // len(image.palette.mode) if image.palette else 0
    if np.asarray(image).max() >= entries:
        raise Unreadable("damaged: its pixels point beyond its palette")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _without_alpha(values: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """(H, W, C) without its alpha, if the last channel is one."""
    if values.shape[2] in (1, 3):
        return values, []
    if (values[..., -1] != np.iinfo(values.dtype).max).any():
        raise Unreadable("transparent in places; put it on the background that is meant")
    return values[..., :-1], [OPAQUE]


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 to 8 as EXIF has it; 1 is upright."""
    if image.format != "TIFF" and not image.info.keys() & _MAY_TURN:
        return 1
    found = image.getexif().get(ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """(C, H, W) turned by an EXIF orientation."""
    if orientation >= 5:
        pixels = pixels.swapaxes(1, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    return pixels[:, ::-1] if orientation in (3, 4, 7, 8) else pixels
