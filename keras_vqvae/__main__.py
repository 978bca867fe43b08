"""`python -m keras_vqvae`: the command line, where no script is installed."""

from keras_vqvae.cli import main

main(prog_name="keras-vqvae")
