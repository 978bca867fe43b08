"""Reading back what the TensorBoard callbacks write, by TensorBoard's own reader."""

import io

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util


def read_events(log_dir):
    accumulator = event_accumulator.EventAccumulator(str(log_dir), size_guidance={"tensors": 0})
    return accumulator.Reload()


def tags(log_dir):
    return sorted(read_events(log_dir).Tags()["tensors"])


def tensors(log_dir, tag):
    """Arrays by step."""
    found = read_events(log_dir).Tensors(tag)
    assert len({event.step for event in found}) == len(found)
    return {event.step: tensor_util.make_ndarray(event.tensor_proto) for event in found}


def scalars(log_dir, tag):
    return {step: float(value) for step, value in tensors(log_dir, tag).items()}


def pictures(log_dir, tag):
    """Pixels by step; the size beside the PNG has to be its own."""
    found = {}
    for step, (width, height, png) in tensors(log_dir, tag).items():
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        assert pixels.shape[:2] == (int(height), int(width))
        found[step] = pixels
    return found


def hyperparameters(log_dir):
    """What the HParams page reads: the beginnings and ends of trials, by tag."""
    contents = read_events(log_dir).PluginTagToContent("hparams")
    return {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content)
        for tag, content in contents.items()
    }


def trial(log_dir):
    """Hyperparameters and final status of the trial in a directory."""
    contents = hyperparameters(log_dir)
    start = contents["_hparams_/session_start_info"].session_start_info
    values = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    }
    end = contents.get("_hparams_/session_end_info")
    return values, None if end is None else end.session_end_info.status
