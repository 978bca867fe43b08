"""An autoencoder, a VAE and a VQ-VAE alike but for the bottleneck: what an image costs under each.

What: the three models have one encoder, one decoder, one likelihood (a discretized logistic for
each pixel) and one training. A PixelCNN then learns the codes of the VQ-VAE. Printed is the bits
per dimension of test images: of the VAE by the evidence lower bound, of the VQ-VAE with codes that
are equally likely, as in the paper (§4.1), and with codes under the prior. A picture shows
reconstructions and samples of all three.

Paper: Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937, §4.1: on CIFAR-10
the VAE has 4.51 bits per dimension, the VQ-VAE 4.67.

Command:

    python examples/autoencoder_vae_vqvae.py --data fashion_mnist --epochs 10

`keras-vqvae compare` does the same with more figures, on images of your own, and goes on where it
was interrupted; docs/evaluation.md has its table for Fashion-MNIST. `--smoke` shows in seconds that
everything works. Measured time: none.
"""

import argparse
import math
from pathlib import Path

import keras
import numpy as np

from keras_vqvae import data, evaluation, models


def main(argv=None):
    args = parse(argv)
    train, test = (data.load_images(args.data, split).as_array() for split in ("train", "test"))
    if args.smoke:
        train, test = train[:128], test[:32]
    networks = {
        "autoencoder": models.convolutional_autoencoder,
        "VAE": models.convolutional_vae,
        "VQ-VAE": models.convolutional_vqvae,
    }
    trained = {}
    for name, make in networks.items():
        print(f"{name}:")
        keras.utils.set_random_seed(args.seed)
        model = make(train.shape[1:], widths=args.widths, likelihood="discretized_logistic")
        fit(model, train, args.epochs)
        trained[name] = model
    autoencoder, vae, vqvae = trained.values()

    print("PixelCNN:")
    prior = models.PixelCNN(vqvae.code_shape, vqvae.num_embeddings, filters=args.filters)
    fit(prior, vqvae.encode(train), args.prior_epochs)

    # What an image costs: the image given its latents, and the latents.
    given = vqvae.reconstruction_log_prob(test)
    code_nats = vqvae.bits_per_image * math.log(2)
    for name, log_probs in {
        "autoencoder, its latents left out": autoencoder.reconstruction_log_prob(test),
        "VAE, evidence lower bound": vae.log_prob_bound(test),
        "VQ-VAE, codes equally likely": given - code_nats,
        "VQ-VAE, codes under the prior": given + prior.log_prob(vqvae.encode(test)),
    }.items():
        bits = -np.mean(log_probs) / math.log(2) / test[0].size
        print(f"{name:35}{bits:6.3f} bits per dimension")

    # New images: an autoencoder has no distribution of latents, so one is fitted to them.
    latents = evaluation.random_latents(autoencoder.encode(train), 10, seed=args.seed)
    samples = {
        "autoencoder": autoencoder.decode(latents),
        "VAE": vae.sample(10, seed=args.seed),
        "VQ-VAE": vqvae.decode(prior.sample(10, seed=args.seed)),
    }
    rows = [test[:10]]
    for name, model in trained.items():
        rows += [model.reconstruct(test[:10]), samples[name]]
    path = Path(args.output) / "images.png"
    evaluation.image_grid(np.concatenate(rows), columns=10, path=path)
    print(f"{path}: originals; reconstructions and samples of {', '.join(trained)}")


def fit(model, inputs, epochs):
    steps = epochs * math.ceil(len(inputs) / 64)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)))
    model.fit(inputs, epochs=epochs, batch_size=64, verbose=2)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist_mini", help="what `load_images` takes")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--prior-epochs", type=int, default=5)
    parser.add_argument("--filters", type=int, default=64, help="of the prior")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="runs/autoencoder_vae_vqvae")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it works")
    args = parser.parse_args(argv)
    args.widths = (32, 64)
    if args.smoke:
        args.data, args.epochs, args.prior_epochs = "fashion_mnist_mini", 1, 1
        args.widths, args.filters = (4, 8), 8
    return args


if __name__ == "__main__":
    main()
