"""Images that failed as they were drawn, and those that were read and have one value everywhere."""

from __future__ import annotations

from kdbench.errors import NothingMeasured
from kdbench.reading.names import printable

SHOWN = 3
"""Names of images that a remark gives."""

OF_TEACHER = "of the teacher's images"


def failures(n: int, whose: str | None = None) -> str:
    """Why images that failed void whatever would be measured of them.

    >>> failures(2, OF_TEACHER)
    "2 of the teacher's images are not finite or are constant."
    """
    one = n == 1
    be = "is" if one else "are"
    return f"{n:,} {whose or ('image' if one else 'images')} {be} not finite or {be} constant."


def refuse_failed(n: int, whose: str | None = None) -> None:
    """Failed images are never dropped or drawn again, and a mean over black ones means nothing.

    Args:
        n: of a subject's images that failed.
        whose: they are, in words; by default the student's.

    Raises:
        NothingMeasured: there are some.
    """
    if n:
        raise NothingMeasured(failures(n, whose))


def constant_mark(names: tuple[str, ...], whose: str | None = None) -> tuple[str, ...]:
    """What to know of values of a set with constant images, which may be meant: a white page.

    >>> constant_mark(("a.png", "b.png"))
    ('2 images are constant: a.png, b.png',)
    """
    n, first = len(names), names[:SHOWN]
    if not n:
        return ()
    what = whose or ("image" if n == 1 else "images")
    said = ", ".join([*map(printable, first), *(["…"] if n > SHOWN else [])])
    return (f"{n:,} {what} {'is' if n == 1 else 'are'} constant: {said}",)
