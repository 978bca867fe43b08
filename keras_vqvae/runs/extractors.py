"""What the samples of a run are judged by."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_vqvae import evaluation
from keras_vqvae.data import ImageBatches, ImageSource
from keras_vqvae.evaluation.feature_extractors import CLASSIFIER_FEATURES
from keras_vqvae.metrics.frechet_distance import check_counts
from keras_vqvae.runs.checkpoints import load_model, save_model
from keras_vqvae.runs.parts import DataParts

_CLASSIFIER_IMAGES = 10_000


def feature_extractor(
    parts: DataParts,
    path: Path,
    judged: tuple[str, ImageSource],
    own_model: Callable[[], tuple[Any, str]],
    seed: int,
    verbose: int,
    report: Callable[[str], None],
) -> tuple[Any, str]:
    """A model from images to features, and what to call it beside its figures.

    With labels the features of a classifier, which is trained once; without, those of a model's own
    encoder.

    Args:
        parts: the images.
        path: of the classifier's file.
        judged: the images that figures are of: what to call them, and themselves.
        own_model: gives a trained model and its name, for images without labels.
        seed: of the classifier's training.
        verbose: 1 for progress bars.
        report: is told in words what begins.
    """
    train = parts.train
    if not _has_classes(train):
        model, title = own_model()
        return evaluation.encoder_features(model), f"the {title}'s own encoder"
    if path.exists():
        classifier = load_model(path)
    else:
        report("Training a classifier of the labels, for its features")
        classifier = evaluation.train_classifier(
            train.spread(_CLASSIFIER_IMAGES), parts.value_range(), seed=seed, verbose=verbose and 2
        )
        save_model(classifier, path)
    name, (title, source) = "a classifier of the labels", judged
    if source.labels is not None and source.labels.max() < classifier.output_shape[-1]:
        batches = ImageBatches(source, with_labels=True)
        accuracy = classifier.evaluate(batches, verbose=0, return_dict=True)["accuracy"]
        name += f", {100 * accuracy:.1f} % right on {title}"
    return evaluation.classifier_features(classifier), name


def check_enough(parts: DataParts, real: int, generated: int) -> None:
    """Refuses too few images for the features of a classifier, before one is trained.

    Raises:
        ValueError: as the metric would for these features.
    """
    if _has_classes(parts.train):
        check_counts(real, generated, CLASSIFIER_FEATURES)


def _has_classes(source: ImageSource) -> bool:
    return source.labels is not None and len(np.unique(source.labels)) > 1
