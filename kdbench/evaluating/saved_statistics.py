"""Mean and covariance of images' features in a file that can be given away instead of them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save

from kdbench import registry
from kdbench.errors import NothingMeasured
from kdbench.evaluating.failed import refuse_failed
from kdbench.evaluating.material import look_up
from kdbench.evaluating.question import BadQuestion, Question
from kdbench.evaluating.references import labels_of
from kdbench.evaluating.subjects import open_subject
from kdbench.evaluating.watched import watched
from kdbench.metrics.cache import Cache
from kdbench.metrics.feature_pair import checked_features
from kdbench.metrics.features.base import shared_extractor
from kdbench.metrics.frechet import Moments
from kdbench.metrics.image_sets import Images
from kdbench.stages import Progress
from kdbench.store import write_atomically


def save_statistics(question: Question, path: Path, *, progress: Progress) -> None:
    """Write statistics of the student's images, as `--reference` reads them.

    Args:
        question: names images and extractor.
        path: of the file, `.safetensors`.
        progress: told of what is read, drawn and extracted.

    Raises:
        BadQuestion: there is no extractor, or the file's name would not be read.
        NothingMeasured: images failed, the extractor does not take them, or there is only one.
        KdbenchError: images or weights cannot be had, or the file cannot be written.
    """
    registered = look_up(question)
    name = question.extractor or (registered.world.extractor if registered.world else None)
    if name is None:
        raise BadQuestion("Statistics are of features: name an --extractor.")
    if path.suffix != ".safetensors":
        raise BadQuestion("Statistics are written to a file that ends in .safetensors.")
    judge = shared_extractor(registry.extractors.resolve(name))
    question.check_seed(draws=registered.draws(question))
    arm, task, seed = registered.arm, registered.task, question.replicate
    student = open_subject(question.student, arm=arm, task=task, seed=seed, progress=progress)
    refuse_failed(student.n_failed)
    if len(student.read) < 2:
        raise NothingMeasured("Statistics are of two images at least.")
    told = watched(judge, "student", len(student.read), progress=progress)
    seen = Images(student.images, labels_of(student.read)).seen_by(told, Cache(None))
    found = Moments.of(checked_features(seen, "measured"))
    tensors = {"mean": found.mean, "scatter": found.scatter, "n": torch.tensor(found.n)}
    about = {"extractor": judge.id, "images": student.read.content}
    write_atomically(path, save({k: t.contiguous() for k, t in tensors.items()}, about))
