"""Every kind of pixels: read exactly, or refused; never clipped, dropped or re-coloured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_files import SIDE, chunk, encoded, photo, png
from PIL import Image, ImageCms, ImageOps

from kdbench.reading import BadImages, ReadSet, read_images

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def only(tmp_path: Path, data: bytes, *, name: str = "x.png") -> ReadSet:
    """A set of one file."""
    (tmp_path / name).write_bytes(data)
    return read_images(tmp_path / name)


def pixels(found: ReadSet) -> np.ndarray:
    """(H, W, C) or (H, W) of the only image."""
    image = found.stacked()[0].permute(1, 2, 0).numpy()
    return image[..., 0] if image.shape[2] == 1 else image


def tiff(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "TIFF", **options)


# ---------------------------------------------------------------- 16 bits


def test_a_grey_ramp_of_16_bits_stays_a_ramp(tmp_path: Path) -> None:
    found = only(tmp_path, png(RAMP, colour=0, bits=16))
    assert np.array_equal(pixels(found), np.rint(RAMP / 257))
    assert np.bincount(pixels(found).ravel()).tolist() == [129, *[257] * 254, 129]
    assert found.notes == ("1 of 1 image of 16 bits a channel: round(v / 257).",)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_a_grey_tiff_of_16_bits(tmp_path: Path, compression: str | None, order: str) -> None:
    mode = "I;16" if order == "<u2" else "I;16B"
    image = Image.frombytes(mode, RAMP.shape, RAMP.astype(order).tobytes())
    found = only(tmp_path, tiff(image, compression=compression), name="x.tif")
    assert np.array_equal(pixels(found), np.rint(RAMP / 257))


@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_16_bits(tmp_path: Path, alpha: bool) -> None:
    """Pillow keeps the high byte alone, which is another number for a quarter of all values."""
    values = np.stack([RAMP, RAMP.T, RAMP[::-1]], axis=-1)
    whole = np.dstack([values, np.full_like(RAMP, 65535)]) if alpha else values
    found = only(tmp_path, png(whole, colour=6 if alpha else 2, bits=16))
    assert np.array_equal(pixels(found), np.rint(values / 257))
    assert any("16 bits" in note for note in found.notes)
    assert any("opaque" in note for note in found.notes) == alpha
    high = np.asarray(Image.open(tmp_path / "x.png").convert("RGB"))
    assert 0.2 < (high != pixels(found)).mean() < 0.3


def test_alpha_of_16_bits_is_compared_in_full(tmp_path: Path) -> None:
    whole = np.full((4, 4, 4), 65535)
    whole[1, 2, 3] = 65280  # its high byte is 255
    with pytest.raises(BadImages, match="transparent in places"):
        only(tmp_path, png(whole, colour=6, bits=16))


def test_kinds_of_16_bits_that_pillow_cannot_give(tmp_path: Path) -> None:
    grey = np.dstack([RAMP, np.full_like(RAMP, 65535)])
    with pytest.raises(BadImages, match="more than 8 bits a channel as LA;16B; convert"):
        only(tmp_path, png(grey, colour=4, bits=16))
    inverted = tiff(Image.frombytes("I;16", RAMP.shape, RAMP.tobytes()), tiffinfo={262: 0})
    with pytest.raises(BadImages, match="white as 0"):
        only(tmp_path, inverted, name="x.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_colour_tiff_of_16_bits(
    tmp_path: Path, compression: str | None, order: str, alpha: bool
) -> None:
    peer = pytest.importorskip("tifffile")
    values = np.stack([RAMP, RAMP.T, RAMP[::-1]], axis=-1)[:16, :32]
    whole = np.dstack([values, np.full_like(values[..., :1], 65535)]) if alpha else values
    options: dict[str, Any] = {"extrasamples": ["unassalpha"]} if alpha else {}
    peer.imwrite(
        tmp_path / "x.tif",
        whole,
        byteorder=order,
        compression=compression,
        photometric="rgb",
        **options,
    )
    found = read_images(tmp_path / "x.tif")
    assert np.array_equal(pixels(found), np.rint(values / 257))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int8, np.float32, np.uint32])
def test_channels_that_are_stored_apart(
    tmp_path: Path, compression: str | None, dtype: Any
) -> None:
    """Pillow takes 16 bits for 8, or keeps the high byte; 32 bits and signs it does not open."""
    peer = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 127, (3, 16, 32)).astype(dtype)
    options = {"compression": compression, "photometric": "rgb", "planarconfig": "separate"}
    peer.imwrite(tmp_path / "x.tif", values, **options)
    with pytest.raises(BadImages, match=r"more than 8 bits a channel|not an image"):
        read_images(tmp_path / "x.tif")
    peer.imwrite(tmp_path / "x.tif", values.astype(np.uint8), **options)
    assert np.array_equal(read_images(tmp_path / "x.tif").images[0].numpy(), values)


def test_a_turned_tiff_of_16_bits(tmp_path: Path) -> None:
    wide = RAMP[:128]
    image = Image.frombytes("I;16", (256, 128), wide.tobytes())
    found = only(tmp_path, tiff(image, tiffinfo={274: 6}), name="x.tif")
    assert np.array_equal(pixels(found), np.rot90(np.rint(wide / 257), -1))


# ---------------------------------------------------------------- unknown ranges


@pytest.mark.parametrize("mode", ["F", "I"])
def test_a_tiff_of_32_bits_is_refused(tmp_path: Path, mode: str) -> None:
    values = np.linspace(0, 1, 64).reshape(8, 8).astype(np.float32 if mode == "F" else np.int32)
    with pytest.raises(BadImages, match="whose range is not known; scale it to 8 bits"):
        only(tmp_path, tiff(Image.fromarray(values)), name="x.tiff")


def test_signed_values_are_refused(tmp_path: Path) -> None:
    image = Image.frombytes("I;16", RAMP.shape, RAMP.tobytes())
    with pytest.raises(BadImages, match=r"x\.tif"):
        only(tmp_path, tiff(image, tiffinfo={339: 2}), name="x.tif")


# ---------------------------------------------------------------- transparency


def test_an_opaque_alpha_is_dropped_and_counted(tmp_path: Path) -> None:
    colours = np.asarray(photo())
    whole = np.dstack([colours, np.full((SIDE, SIDE), 255)])
    found = only(tmp_path, png(whole, colour=6, bits=8))
    assert np.array_equal(pixels(found), colours)
    assert found.notes == (
        "1 of 1 image with an alpha channel that is opaque throughout: dropped.",
    )
    grey = colours[..., :1]
    found = only(tmp_path, png(np.dstack([grey, np.full_like(grey, 255)]), colour=4, bits=8))
    assert np.array_equal(pixels(found), grey[..., 0])


@pytest.mark.parametrize("colour", [4, 6])
def test_transparency_is_refused(tmp_path: Path, colour: int) -> None:
    """Under a pixel that nobody sees lies a colour that would be measured."""
    whole = np.full((SIDE, SIDE, 2 if colour == 4 else 4), 255)
    whole[3, 5, -1] = 254
    with pytest.raises(BadImages, match="transparent in places; put it on the background"):
        only(tmp_path, png(whole, colour=colour, bits=8))


@pytest.mark.parametrize(
    ("colour", "bits", "key"),
    [(0, 8, "0007"), (2, 8, "000700070007"), (0, 16, "0007"), (2, 16, "000700070007")],
)
def test_one_transparent_colour_is_refused(
    tmp_path: Path, colour: int, bits: int, key: str
) -> None:
    values = np.full((4, 4, 3) if colour == 2 else (4, 4), 7)
    data = png(values, colour=colour, bits=bits, extra=chunk(b"tRNS", bytes.fromhex(key)))
    with pytest.raises(BadImages, match="declared transparent; remove that"):
        only(tmp_path, data)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = photo().quantize(64)
    for format, name in (("PNG", "x.png"), ("GIF", "x.gif"), ("BMP", "x.bmp"), ("TIFF", "x.tif")):
        found = only(tmp_path, encoded(image, format), name=name)
        assert np.array_equal(pixels(found), np.asarray(image.convert("RGB")))
        assert "1 of 1 image with a palette: looked up as RGB." in found.notes


def test_a_pixel_without_an_entry_is_refused(tmp_path: Path) -> None:
    """Pillow makes it black."""
    values = np.array([[0, 1], [2, 1]])
    for entries, good in ((3, True), (2, False), (0, False)):
        palette = chunk(b"PLTE", bytes(range(10, 10 + 3 * entries))) if entries else b""
        data = png(values, colour=3, bits=8, extra=palette)
        if good:
            assert pixels(only(tmp_path, data))[1, 0].tolist() == [16, 17, 18]
        else:
            with pytest.raises(BadImages, match=r"damaged: "):
                only(tmp_path, data)


def test_a_transparent_palette(tmp_path: Path) -> None:
    image = photo().quantize(64)
    index = int(np.asarray(image)[0, 0])
    for format, name in (("PNG", "x.png"), ("GIF", "x.gif")):
        with pytest.raises(BadImages, match="transparent in places"):
            only(tmp_path, encoded(image, format, transparency=index), name=name)
    opaque = only(tmp_path, encoded(image, "PNG", transparency=b"\xff" * 64))
    assert np.array_equal(pixels(opaque), np.asarray(image.convert("RGB")))
    assert len(opaque.notes) == 2


# ---------------------------------------------------------------- colour spaces


def test_cmyk_and_lab_are_refused(tmp_path: Path) -> None:
    for format, name in (("JPEG", "x.jpg"), ("TIFF", "x.tif")):
        with pytest.raises(BadImages, match=r"CMYK colours.*convert it to RGB"):
            only(tmp_path, encoded(photo().convert("CMYK"), format), name=name)
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(photo(), transform)
    with pytest.raises(BadImages, match="LAB colours; convert it to RGB"):
        only(tmp_path, tiff(lab), name="x.tif")
    with pytest.raises(BadImages, match="YCbCr colours"):
        only(tmp_path, tiff(photo().convert("YCbCr")), name="x.tif")


def test_a_colour_profile_is_counted(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = only(tmp_path, encoded(photo(), "PNG", icc_profile=profile))
    assert np.array_equal(pixels(found), np.asarray(photo()))
    assert found.notes == ("1 of 1 image with a colour profile: ignored.",)


@pytest.mark.parametrize("quality", [30, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_is_decoded_as_pillow_does(tmp_path: Path, quality: int, subsampling: int) -> None:
    data = encoded(photo(), "JPEG", quality=quality, subsampling=subsampling)
    found = only(tmp_path, data, name="x.jpg")
    assert np.array_equal(pixels(found), np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB")))
    assert found.notes == ("1 of 1 image in JPEG, which is lossy.",)


# ---------------------------------------------------------------- grey and black


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    image = photo().convert("1")
    for format, name in (("PNG", "x.png"), ("TIFF", "x.tif"), ("BMP", "x.bmp")):
        found = only(tmp_path, encoded(image, format), name=name)
        assert np.array_equal(pixels(found), np.asarray(image) * 255)
    assert found.images[0].shape[0] == 1


def test_grey_images_stay_grey_among_themselves(folder: Path) -> None:
    for path in folder.iterdir():
        photo().convert("L").save(path)
    assert read_images(folder).stacked().shape == (2, 1, SIDE, SIDE)


@pytest.mark.parametrize("names", [["a0.png"], ["z0.png"], ["a0.png", "h.png", "z0.png"]])
def test_grey_among_colour_is_repeated_and_counted(folder: Path, names: list[str]) -> None:
    """Whichever comes first."""
    grey = photo(seed=9).convert("L")
    for name in names:
        grey.save(folder / name)
    found = read_images(folder)
    assert found.stacked().shape == (2 + len(names), 3, SIDE, SIDE)
    for name in names:
        image = found.images[found.names.index(name)]
        assert np.array_equal(image.numpy(), np.stack([np.asarray(grey)] * 3))
    assert found.notes == (
        f"{len(names)} of {2 + len(names)} images grey among colour ones: "
        "repeated in three channels.",
    )


# ---------------------------------------------------------------- orientation, frames


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_and_counted(tmp_path: Path, orientation: int, kind: str) -> None:
    image = photo(width=20, height=12)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    name = {"JPEG": "x.jpg", "PNG": "x.png", "WEBP": "x.webp", "TIFF": "x.tif"}[kind]
    found = only(tmp_path, encoded(image, kind, exif=exif, **options), name=name)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / name))
    assert expected.size == ((20, 12) if orientation < 5 else (12, 20))
    assert np.array_equal(pixels(found), np.asarray(expected))
    turned = "1 of 1 image turned as their EXIF orientation says."
    assert (turned in found.notes) == (orientation > 1)


def test_damaged_exif_is_no_orientation(tmp_path: Path) -> None:
    found = only(tmp_path, encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0garbage"), name="x.jpg")
    assert len(found.notes) == 1  # that it is lossy


@pytest.mark.parametrize(
    ("format", "name"),
    [("PNG", "x.png"), ("GIF", "x.gif"), ("WEBP", "x.webp"), ("TIFF", "x.tif")],
)
def test_several_frames_are_refused(tmp_path: Path, format: str, name: str) -> None:
    frames = {"save_all": True, "append_images": [photo(seed=1)]}
    with pytest.raises(BadImages, match="more than one frame or page"):
        only(tmp_path, encoded(photo(), format, **frames), name=name)


def test_a_format_other_than_the_name_says_is_counted(tmp_path: Path) -> None:
    found = only(tmp_path, encoded(photo(), "JPEG"), name="x.png")
    assert np.array_equal(pixels(found), np.asarray(Image.open(tmp_path / "x.png")))
    assert found.notes == (
        "1 of 1 image in JPEG, which is lossy.",
        "1 of 1 image in another format than their names say: read as what they are.",
    )
