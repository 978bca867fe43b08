"""The paper's VQ-VAE of CIFAR-10, with the paper's settings.

What: two strided 4×4 convolutions, two residual blocks, 256 units, 512 codes on an 8×8 grid; β =
0.25; Adam at 2e-4, batches of 128, 250 000 steps. The paper learns the table by gradient; its
appendix A.1, and the authors' published code, by moving averages. `--update` chooses. (A table by
gradient at the networks' own rate, as in the paper, ends with 1.3 to 1.5 times the error of one at
ten times that rate in docs/choosing_a_quantizer.md.) The same command resumes a training.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937, §4 and §4.1

Command (CIFAR-10 is looked for on this machine, else downloaded by Keras):

    python examples/vqvae_paper_cifar10.py --output runs/cifar10

`--steps 10000` is a shorter run, in whole epochs; `--smoke` shows in seconds that everything works.

Expected result and time: not measured here. 250 000 steps need a GPU. (The paper's 4.67 bits per
dimension is a likelihood of the 8-bit images, which a squared error is not.)
"""

import argparse
import math
from pathlib import Path

import keras
import numpy as np

from keras_vqvae import callbacks, codebooks, data, evaluation, layers, likelihoods, models

# Variance of CIFAR-10's training images on the [0, 1] scale, which the authors divide by.
VARIANCE = 0.0633


def main(argv=None):
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    train, test = load(args, "train"), load(args, "test")
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)

    by_gradient = args.update == "gradient"
    vqvae = models.paper_cifar10(
        quantizer=layers.VectorQuantizer(
            args.num_embeddings,
            embedding_dim=64,
            beta=0.25,
            update="gradient" if by_gradient else codebooks.EMAUpdate(decay=0.99),
        ),
        likelihood=likelihoods.Gaussian.from_variance(VARIANCE),
    )
    vqvae.compile(keras.optimizers.Adam(2e-4))
    steps_per_epoch = math.ceil(len(train) / args.batch_size)
    vqvae.fit(
        data.ImageBatches(train, args.batch_size, shuffle=True, seed=args.seed, workers=2),
        epochs=max(round(args.steps / steps_per_epoch), 1),
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            callbacks.ResumableTraining(output / "training"),
        ],
        verbose=2,
    )
    vqvae.save(output / "vqvae.keras")

    figures = evaluation.evaluate_vqvae(vqvae, test)
    print(
        f"test MSE {figures['mse']:.5f} on the [0, 1] scale, {figures['psnr_db']:.2f} dB, "
        f"{figures['codebook_usage']:.0%} of the codes used, "
        f"perplexity {figures['perplexity']:.0f}; {figures['bits_per_image']:.0f} bits per image"
    )
    originals = test.read(np.arange(min(len(test), 32)))
    path = output / "reconstructions.png"
    evaluation.reconstruction_grid(originals, vqvae.reconstruct(originals), path=path)
    print(f"see {path}")
    return figures


def load(args, split):
    if args.smoke:
        noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("uint8")
        return data.load_images(noise)
    return data.load_images("cifar10", split)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="runs/cifar10")
    parser.add_argument("--steps", type=int, default=250_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--num-embeddings", type=int, default=512)
    parser.add_argument("--update", choices=["gradient", "ema"], default="gradient")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two steps on noise")
    args = parser.parse_args(argv)
    if args.smoke:
        args.steps, args.batch_size = 2, 4
    return args


if __name__ == "__main__":
    main()
