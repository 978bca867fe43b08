"""Does the prior draw what it is asked for? Samples by class, named by a classifier of real images.

A VQ-VAE and a conditional `GatedPixelCNN` learn full Fashion-MNIST; a small convolutional
classifier learns the real images. It then names 200 samples of each class. Beside the share that it
names as they were asked for: the same share of real test images, and of their reconstructions,
which is as much as codes can keep. Chance is 10 %.

`--smoke` trains for seconds on bundled images.

    python benchmarks/labels.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import sys
from collections.abc import Sequence

import keras
import numpy as np
from images import load_labelled
from reporting import Figure, parser, report, require_commit, results_file
from vqvaes import make_ours

from keras_vqvae import evaluation, models

NAMES = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
SAMPLES = 200
VQVAE_EPOCHS, PRIOR_EPOCHS, CLASSIFIER_EPOCHS = 4, 6, 4


def train_prior(
    codes: np.ndarray, labels: np.ndarray, vqvae: models.VQVAE, epochs: int
) -> models.GatedPixelCNN:
    prior = models.GatedPixelCNN(
        vqvae.code_shape,
        vqvae.num_embeddings,
        num_classes=10,
        filters=64,
        blocks=3,
        embedding_dim=32,
        first_kernel_size=5,
    )
    steps = epochs * -(-len(codes) // 64)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, steps, alpha=0.01)
    prior.compile(keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0))
    prior.fit(codes, labels, batch_size=64, epochs=epochs, verbose=2)
    return prior


def main(argv: Sequence[str] | None = None) -> int:
    args = parser(__doc__, "labels").parse_args(argv)
    full = not args.smoke
    require_commit(full, args.output)
    keras.utils.set_random_seed(args.seed)
    limit = 256 if args.smoke else None
    train, train_labels = load_labelled("train", args.smoke, limit)
    test, test_labels = load_labelled("test", args.smoke, limit)
    epochs = (1, 1, 1) if args.smoke else (VQVAE_EPOCHS, PRIOR_EPOCHS, CLASSIFIER_EPOCHS)
    vqvae = make_ours(float(train.var()))
    vqvae.fit(train, batch_size=128, epochs=epochs[0], verbose=2)
    prior = train_prior(vqvae.encode(train), train_labels, vqvae, epochs[1])
    classifier = evaluation.train_classifier(
        (train, train_labels), value_range=(0, 1), epochs=epochs[2], seed=args.seed, verbose=2
    )

    def share(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Of each class, the share of the images that the classifier names so, in percent."""
        named = classifier.predict(np.clip(images, 0, 1), batch_size=512, verbose=0).argmax(-1)
        return np.array([100 * np.mean(named[labels == c] == c) for c in range(10)])

    asked = np.repeat(np.arange(10), 2 if args.smoke else SAMPLES)
    codes = prior.sample(len(asked), labels=asked, seed=args.seed)
    samples = np.clip(vqvae.decode(codes), 0, 1)
    by_class = share(samples, asked)
    bits = evaluation.evaluate_prior(prior, vqvae.encode(test), test_labels)["bits_per_code"]
    figures = [
        Figure("samples named as they were asked for", "%", by_class.mean(), at_least=80.0),
        Figure("real test images named as they are", "%", share(test, test_labels).mean()),
        Figure("their reconstructions", "%", share(vqvae.reconstruct(test), test_labels).mean()),
        Figure("prior, given the class", "bits per code", bits),
        *(Figure(f"samples: {n}", "%", v) for n, v in zip(NAMES, by_class, strict=True)),
    ]
    if path := results_file("labels", args.output, full):
        first = np.concatenate([samples[asked == c][:16] for c in range(10)])
        picture = path.with_suffix(".png")
        evaluation.image_grid(first, columns=16, value_range=(0, 1), path=picture)
    settings = {
        "samples_of_a_class": len(asked) // 10,
        "epochs": dict(zip(("vqvae", "prior", "classifier"), epochs, strict=True)),
        "seed": args.seed,
    }
    return report("labels", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
