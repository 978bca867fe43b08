"""`python -m keras_vqvae.cli`."""

from keras_vqvae.cli.application import main

main(prog_name="keras-vqvae")
