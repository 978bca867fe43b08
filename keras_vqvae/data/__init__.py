"""Images from arrays, folders, archives and by name; batches for `fit`; files of codes."""

from keras_vqvae.data.archives import ArchiveSource as ArchiveSource
from keras_vqvae.data.arrays import ArraySource as ArraySource
from keras_vqvae.data.augmentation import Augmentation as Augmentation
from keras_vqvae.data.batches import ImageBatches as ImageBatches
from keras_vqvae.data.codes import CodeFile as CodeFile
from keras_vqvae.data.codes import encode_to_file as encode_to_file
from keras_vqvae.data.codes import is_code_file as is_code_file
from keras_vqvae.data.codes import load_codes as load_codes
from keras_vqvae.data.codes import save_codes as save_codes
from keras_vqvae.data.files import atomic_write as atomic_write
from keras_vqvae.data.folders import FolderSource as FolderSource
from keras_vqvae.data.loading import load_images as load_images
from keras_vqvae.data.resized import ResizedSource as ResizedSource
from keras_vqvae.data.source import ImageSource as ImageSource
from keras_vqvae.data.tf_data import as_tf_dataset as as_tf_dataset

__all__ = [
    "ArchiveSource",
    "ArraySource",
    "Augmentation",
    "CodeFile",
    "FolderSource",
    "ImageBatches",
    "ImageSource",
    "ResizedSource",
    "as_tf_dataset",
    "atomic_write",
    "encode_to_file",
    "is_code_file",
    "load_codes",
    "load_images",
    "save_codes",
]
