"""Reading what a user measures: a folder of images, one image, a batch of arrays, statistics.

One policy for everything. Whatever is not read exactly is refused, with all the files concerned,
or it is treated as below and counted in `ReadSet.notes`; nothing is resized, dropped or guessed.

| what comes | what happens |
|---|---|
| PNG, JPEG, WebP, BMP, TIFF, GIF | read by content; counted where the name says another format |
| AVIF, JPEG 2000, HEIC, EXR, PSD, PPM …| refused |
| truncated, corrupt, not an image | refused; only PNG has sums that show each flipped bit |
| grey among colour images | repeated in three channels, counted; one if all of a set or pair are |
| 16 bits a channel | `round(v / 257)`, counted; not with grey alpha, 12 bits, planes, white as 0 |
| 32-bit or float TIFF | refused |
| alpha, palette with alpha | dropped and counted if opaque throughout, otherwise refused |
| one transparent colour (PNG tRNS) | refused |
| palette | looked up as RGB, counted; refused where a pixel has no entry |
| 1 bit | 0 and 255, counted |
| CMYK, LAB, YCbCr as such | refused; ordinary JPEGs decode to RGB as in Pillow |
| colour profile | ignored as all metrics' own readers do, counted |
| EXIF orientation | applied, counted |
| animation, several pages | refused |
| more than 8192 x 8192 pixels | refused from the header |
| a set above half of the memory | refused, with its size |
| mixed sizes | read; `stacked` refuses and counts the sizes |
| sub-folders, no images beside them | classes: labels are their numbers in natural order |
| sub-folders with images, and images beside them | refused |
| deeper folders, or a class without images | refused |
| hidden files, other files by their names | ignored, counted |
| links out of the folder, devices, pipes | refused |
| names that are not UTF-8 | refused; control characters are escaped in messages |
| all images alike | read, noted |
| `.npy`, `.npz` of uint8 | (N, H, W, C), (N, C, H, W) or (N, H, W); refused if two of them fit |
| the same in float | `round(255 v)` if finite and within [0, 1]; else refused with the range |
| `arr_0` or `images`; `arr_1` or `labels` | images and labels of an `.npz` (ADM's names and ours) |
| pickled or object arrays | refused, never loaded |
| sizes in a header that the file does not hold | refused before anything is loaded |
"""

from kdbench.reading.errors import BadImages
from kdbench.reading.pairs import Pairs, pair
from kdbench.reading.read_set import ReadSet
from kdbench.reading.reader import read_images
from kdbench.reading.reference_statistics import Statistics, read_statistics

__all__ = [
    "BadImages",
    "Pairs",
    "ReadSet",
    "Statistics",
    "pair",
    "read_images",
    "read_statistics",
]
