"""Both stages on Fashion-MNIST: a VQ-VAE, and a PixelCNN on its codes.

What: images of 28×28 become grids of 7×7 codes out of 128 (343 bits an image). A PixelCNN learns
the grids, and new clothes are sampled grids, decoded. Everything is `compile` and `fit`, as with
any Keras model; the learning rate, early stopping and the best weights are Keras's own.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937

Command:

    python examples/vqvae_fashion_mnist.py --output runs/fashion_mnist

`--data fashion_mnist_mini` trains on the 10 000 images that come with the package, and needs no
download. `--smoke` shows in seconds that everything works.

Expected result and time: not measured here.
"""

import argparse
import math
from pathlib import Path

import keras

from keras_vqvae import data, evaluation, likelihoods, models


def main(argv=None):
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    train, validation = load(args, "train").split(0.05, seed=args.seed)
    test = load(args, "test")
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)

    # Stage 1: images to codes and back.
    variance = float((train.as_array() / 255.0).var())
    vqvae = models.convolutional_vqvae(
        train.image_shape,
        num_embeddings=128,
        embedding_dim=16,
        likelihood=likelihoods.Gaussian.from_variance(variance),
    )
    vqvae.compile(adam(1e-3, len(train), args))
    vqvae.fit(
        data.ImageBatches(train, args.batch_size, shuffle=True, seed=args.seed),
        validation_data=data.ImageBatches(validation, args.batch_size),
        epochs=args.epochs,
        callbacks=[keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)],
        verbose=2,
    )
    figures = evaluation.evaluate_vqvae(vqvae, test)
    print(
        f"test MSE {figures['mse']:.4f} on the [0, 1] scale, {figures['psnr_db']:.2f} dB, "
        f"{figures['codebook_usage']:.0%} of the codes used, perplexity {figures['perplexity']:.1f}"
    )

    # Stage 2: the distribution of the codes, class by class.
    prior = models.PixelCNN(
        vqvae.code_shape,
        vqvae.num_embeddings,
        num_classes=10,
        filters=64,
        residual_blocks=3,
        codes_fingerprint=vqvae.fingerprint(),
    )
    prior.compile(adam(1e-3, len(train), args))
    prior.fit(
        vqvae.encode(train.as_array()),
        train.labels,
        validation_data=(vqvae.encode(validation.as_array()), validation.labels),
        batch_size=args.batch_size,
        epochs=args.epochs,
        callbacks=[keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)],
        verbose=2,
    )
    bits = evaluation.evaluate_prior(prior, vqvae.encode(test.as_array()), test.labels)
    print(
        f"prior: {bits['bits_per_code']:.3f} bits per code, {bits['bits_per_image']:.0f} bits per "
        f"image; {vqvae.bits_per_image:.0f} if all codes were alike"
    )

    # Pictures and models.
    model = models.TwoStage(vqvae, prior)
    model.save(output)
    labels = [i % 10 for i in range(60)]
    evaluation.image_grid(
        model.sample(60, labels=labels, seed=args.seed),
        columns=10,
        captions=[train.class_names[i][:13] for i in labels],
        path=output / "samples.png",
    )
    originals = test.read(range(32))
    evaluation.reconstruction_grid(
        originals, vqvae.reconstruct(originals), path=output / "reconstructions.png"
    )
    print(f"see {output / 'samples.png'} and {output / 'reconstructions.png'}")
    return {**figures, **bits}


def load(args, split):
    source = data.load_images("fashion_mnist_mini" if args.smoke else args.data, split)
    return source.subset(range(256)) if args.smoke else source


def adam(rate, images, args):
    steps = args.epochs * math.ceil(images / args.batch_size)
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist", help="or fashion_mnist_mini")
    parser.add_argument("--output", default="runs/fashion_mnist")
    parser.add_argument("--epochs", type=int, default=10, help="of each stage")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="seconds, on 256 images")
    args = parser.parse_args(argv)
    if args.smoke:
        args.epochs = 1
    return args


if __name__ == "__main__":
    main()
