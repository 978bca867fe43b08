"""What an image costs in all, both stages: the keras.io recipe against ours.

Full Fashion-MNIST. Both train the recipe's encoder and decoder, from the same start, for as many
epochs, on the same batches in the same order, K = 128 codes on a 7×7 grid. Then each prior learns
the codes of its own VQ-VAE for as many seconds, in turns: the recipe's PixelCNN with its settings
(Adam at 3e-4, batch 128), and our `GatedPixelCNN` with AdamW, a cosine from 6e-3, and batch 32. The
images are scored by one likelihood, a Gaussian integrated over the bin of a grey level, whose scale
is that of the error on training images, for each of the two its own. Bits per dimension of the
10 000 test images: of images given their codes, of codes, and of both.

`--smoke` trains on bundled images for an epoch and a second.

    python benchmarks/bits_per_dimension.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from images import load_train_and_test
from keras_io_recipe import CODE_SHAPE, NUM_EMBEDDINGS, make_pixel_cnn
from prior_training import Contestant, bits_per_code, endless, ours
from reporting import Figure, parser, report, require_commit, require_tensorflow
from vqvaes import make_both, train_in_turns

from keras_vqvae import likelihoods, models, ops

EPOCHS = 4
SECONDS = 120.0
SLICES = 4


def decoder_outputs(images: np.ndarray, predict: Callable[[Any], Any]) -> np.ndarray:
    """Reconstructions centred on 0, in batches."""
    batches = (images[i : i + 500] for i in range(0, len(images), 500))
    return np.concatenate([np.asarray(predict(batch)) for batch in batches])


def image_bits(train: np.ndarray, test: np.ndarray, predict: Callable[[Any], Any]) -> float:
    """Bits per dimension of test images given their codes, at the scale of training errors."""
    error = train - 0.5 - decoder_outputs(train, predict)
    scale = float(np.sqrt(np.mean(np.square(error, dtype="float64"))))
    print(f"scale {255 * scale:.1f} grey levels", flush=True)
    likelihood = likelihoods.Gaussian(scale)
    outputs = decoder_outputs(test, predict)
    log_probs = [
        likelihood.log_prob(test[i : i + 500], outputs[i : i + 500])
        for i in range(0, len(test), 500)
    ]
    log_prob = np.concatenate([np.asarray(part) for part in log_probs])
    return float(np.mean(ops.bits_per_dimension(log_prob, test.shape[1:])))


def train_priors(
    codes: dict[str, np.ndarray], total: float, slices: int, seed: int
) -> dict[str, Any]:
    """The prior of each, trained for `total` seconds in turns."""
    gated = models.GatedPixelCNN(
        CODE_SHAPE, NUM_EMBEDDINGS, filters=64, blocks=3, embedding_dim=32, first_kernel_size=5
    )
    contestants = {
        "recipe": Contestant("keras.io PixelCNN", make_pixel_cnn(), batch_size=128),
        "ours": ours("GatedPixelCNN", gated, peak=6e-3),
    }
    batches = {n: endless(codes[n], c.batch_size, seed) for n, c in contestants.items()}
    for name, contestant in contestants.items():  # compiles
        contestant.train(batches[name], until=1e-9, total=total)
        contestant.seconds = 0.0
    for i in range(1, slices + 1):
        for name, contestant in contestants.items():
            contestant.train(batches[name], total * i / slices, total)
    return {name: contestant.model for name, contestant in contestants.items()}


def main(argv: Sequence[str] | None = None) -> int:
    args = parser(__doc__, "bits_per_dimension").parse_args(argv)
    require_tensorflow()
    full = not args.smoke
    require_commit(full, args.output)
    train, test = load_train_and_test(args.smoke, 640 if args.smoke else None)
    variance = float(np.var(train, dtype="float64"))
    model, recipe = make_both(variance, args.seed)
    epochs = 1 if args.smoke else EPOCHS
    train_in_turns({"recipe": (recipe, train - 0.5), "ours": (model, train)}, epochs, args.seed)

    reconstruction = {
        "recipe": image_bits(train, test, lambda x: recipe.vqvae(x - 0.5)),
        "ours": image_bits(
            train, test, lambda x: model.decoder(model.decoder_input(model.encode(x)))
        ),
    }
    encoders: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "recipe": lambda x: recipe.coder.predict(x - 0.5, verbose=0),
        "ours": model.encode,
    }
    seconds = 1.0 if args.smoke else SECONDS
    trained = train_priors(
        {name: encode(train) for name, encode in encoders.items()},
        seconds,
        1 if args.smoke else SLICES,
        args.seed,
    )
    codes_per_number = np.prod(CODE_SHAPE) / test[0].size
    codes = {
        name: bits_per_code(trained[name], encode(test)) * codes_per_number
        for name, encode in encoders.items()
    }
    total = {name: reconstruction[name] + codes[name] for name in codes}
    unit = "bits per dimension"
    figures = [
        Figure("images given codes", unit, reconstruction["ours"], reconstruction["recipe"]),
        Figure("codes under the prior", unit, codes["ours"], codes["recipe"]),
        Figure("both", unit, total["ours"], total["recipe"], at_most=total["recipe"]),
    ]
    settings = {
        "training_images": len(train),
        "test_images": len(test),
        "epochs": epochs,
        "seconds_of_the_prior": seconds,
        "num_embeddings": NUM_EMBEDDINGS,
        "seed": args.seed,
    }
    return report("bits_per_dimension", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
