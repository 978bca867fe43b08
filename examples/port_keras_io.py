"""The keras.io VQ-VAE example's job (https://keras.io/examples/generative/vq_vae) in few lines.

A VQ-VAE on MNIST (128 codes of length 16 on a 7×7 grid), a PixelCNN on its codes, ten new images:
`python examples/port_keras_io.py`. Paper: https://arxiv.org/abs/1711.00937. Not measured here.
"""

import argparse

from keras_vqvae import data, evaluation, models


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist", help="or fashion_mnist, or fashion_mnist_mini")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", default="samples.png")
    parser.add_argument("--smoke", action="store_true", help="seconds, on 256 images")
    args = parser.parse_args(argv)
    if args.smoke:
        args.data, args.epochs = "fashion_mnist_mini", 1
    images = data.load_images(args.data).as_array()[: 256 if args.smoke else None]

    vqvae = models.convolutional_vqvae(images.shape[1:], num_embeddings=128, embedding_dim=16)
    prior = models.PixelCNN(vqvae.code_shape, 128, filters=128, residual_blocks=2)
    model = models.TwoStage(vqvae, prior)
    model.fit(images, epochs=(args.epochs, args.epochs), batch_size=128, verbose=2)

    evaluation.image_grid(model.sample(10, seed=0), columns=10, path=args.output)


if __name__ == "__main__":
    main()
