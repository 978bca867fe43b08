import dataclasses
import json
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from runs_support import tiny_config, write_images
from support import grey_images

from keras_vqvae import data, layers, models, sampling
from keras_vqvae.cli.options import apply_options
from keras_vqvae.cli.training import prior, train
from keras_vqvae.evaluation import Page
from keras_vqvae.runs import (
    DataConfig,
    DataParts,
    PriorConfig,
    Run,
    RunConfig,
    RunExistsError,
    TrainingConfig,
    VQVAEConfig,
    prior_command,
    train_command,
)
from keras_vqvae.runs.directory import read_json, write_json
from keras_vqvae.runs.parts import class_captions
from keras_vqvae.runs.samplers import choose_sampler
from keras_vqvae.runs.training import Session, _sheet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Conditional, of a folder with parts."""
    folder = tmp_path_factory.mktemp("images")
    for part, count in (("train", 12), ("val", 4), ("test", 6)):
        write_images(folder / part, count)
    config = tiny_config(
        folder,
        prior=PriorConfig(filters=4, residual_blocks=1, embedding_dim=4, conditional=True),
        data=DataConfig(str(folder), horizontal_flip=True, crop_padding=1),
    )
    run = Run.create(tmp_path_factory.mktemp("run"), config)
    run.train(verbose=0)
    return run


def test_the_data_s_own_parts_are_used(run):
    assert run.metrics()["evaluated_on"] == "test"
    assert run.metrics()["vqvae"]["images"] == 6
    assert run.metrics()["data"]["train_images"] == 12
    assert run.metrics()["data"]["validation_images"] == 4
    assert run.codes("test").labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_samples_depend_on_seed_and_label(run):
    a = run.sample(3, labels=0)
    assert a.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(a, run.sample(3, labels=0))
    assert not np.array_equal(a, run.sample(3, labels=0, seed=99))
    assert run.sample(2, temperature=0).shape == (2, 8, 8, 1)


def test_labels_by_name(run):
    assert run.label_number(None) is None
    assert run.label_number("b") == run.label_number("B") == run.label_number("1") == 1
    for bad in ("c", "2", "-1"):
        with pytest.raises(ValueError, match="one of a, b"):
            run.label_number(bad)


def test_names_that_differ_in_case_alone_are_told_apart(run, monkeypatch):
    monkeypatch.setattr(Run, "prior", lambda self: SimpleNamespace(num_classes=5))
    names = ["A", "a", "Dog", "3", "B"]
    monkeypatch.setattr(Run, "metrics", lambda self: {"data": {"classes": names}})
    for number, name in enumerate(names):
        assert run.label_number(name) == number
    # Of one class alone; numbers of classes go after names that are numbers.
    assert (run.label_number("DOG"), run.label_number("b"), run.label_number(4)) == (2, 4, 4)
    names[:2] = ["Aa", "aA"]
    with pytest.raises(ValueError, match="one of Aa, aA, Dog, 3, B"):
        run.label_number("aa")


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_classes_without_names_are_those_of_all_parts(tmp_path, part):
    arrays = {}
    for one in ("train", "val", "test"):
        arrays |= {f"x_{one}": grey_images(4), f"y_{one}": np.array([0, 1, 0, 1])}
    arrays[f"y_{part}"] = np.array([0, 1, 0, 6])
    np.savez(tmp_path / "images.npz", **arrays)
    parts = DataParts(DataConfig(str(tmp_path / "images.npz")), seed=0)
    assert parts.num_classes() == 7
    folder = write_images(tmp_path / "named", classes=("x", "y", "z"))
    assert DataParts(DataConfig(str(folder)), seed=0).num_classes() == 3


def test_ways_to_sample():
    assert choose_sampler(1.0, None, None) == sampling.Random(1.0)
    assert choose_sampler(0.5, 3, None) == sampling.TopK(3, 0.5)
    assert choose_sampler(0.5, None, 0.9) == sampling.TopP(0.9, 0.5)
    assert choose_sampler(0, None, None) == sampling.Greedy()
    for bad in ((1.0, 3, 0.9), (0, 3, None), (-1.0, None, None)):
        with pytest.raises(ValueError, match=r"temperature|top_k"):
            choose_sampler(*bad)


def test_encode_and_decode(run, tmp_path):
    images = grey_images(5)
    file = run.encode(images, tmp_path / "codes.npz")
    np.testing.assert_array_equal(file.codes, run.vqvae().encode(images))
    expected = run.vqvae().reconstruct(images)
    # two compiled programs of the same arithmetic
    np.testing.assert_allclose(run.decode(tmp_path / "codes.npz"), expected, atol=1e-2)
    np.testing.assert_allclose(run.decode(file), run.decode(file.codes))
    other = data.CodeFile(file.codes, 4, "another")
    with pytest.raises(ValueError, match="another model"):
        run.decode(other)


def test_encode_needs_no_training_images(run, tmp_path, monkeypatch):
    monkeypatch.setattr(DataParts, "train", property(lambda parts: pytest.fail("was looked at")))
    assert run.encode(grey_images(2)).codes.shape == (2, 4, 4)
    with pytest.raises(ValueError, match=r"\(4, 4, 1\).*\(8, 8, 1\)"):
        run.encode(grey_images(2, side=4))


def test_captions_of_classes_are_told_apart_in_ascii(tmp_path):
    classes = ("a?", "größe und mehr", "写真", "図書")
    folder = write_images(tmp_path, 4, classes=classes)
    source = data.load_images(folder)
    assert source.class_names == classes
    # 13 letters; of names in other scripts the number of the class says which
    assert class_captions(source, np.arange(4)) == ["a?", "grosse und me", "2 ??", "3 ??"]
    numbers = data.ArraySource(grey_images(3), labels=np.arange(3))
    assert class_captions(numbers, np.array([2, 0])) == ["2", "0"]


def test_other_images_must_fit(run, tmp_path):
    with pytest.raises(ValueError, match=r"\(4, 4, 1\).*\(8, 8, 1\)"):
        run.encode(grey_images(2, side=4))
    with pytest.raises(ValueError, match="should have labels, one folder a class"):
        run.evaluate(grey_images(2))
    figures = run.evaluate((grey_images(2), np.array([0, 1])))
    assert figures["vqvae"]["images"] == figures["prior"]["images"] == 2
    write_images(tmp_path / "x" / "test", 4)
    assert run.evaluate(tmp_path / "x", stage="vqvae")["vqvae"]["images"] == 4


def test_classes_of_other_images_are_known_by_name(run, tmp_path):
    """In folders of their own, b would be the first class."""
    folder = write_images(tmp_path / "b alone", 4, classes=("b",))
    assert run.encode(folder).labels.tolist() == [1, 1, 1, 1]
    label = run.parts.evaluation(folder)[1].labels
    assert label.tolist() == [1, 1, 1, 1]
    images = np.stack([run.parts.train.read([0])[0]] * 2)
    given = data.ArraySource(images, [2, 0], class_names=("b", "unused", "a"))
    np.testing.assert_array_equal(run.encode(given).labels, [0, 1])
    assert (given.labels.tolist(), given.class_names[0]) == ([2, 0], "b")
    # Without names, numbers are numbers of this run's classes.
    assert run.encode((images, [1, 0])).labels.tolist() == [1, 0]
    write_images(folder, 4, classes=("z", "b"))
    message = "'a', 'b'. Received: images of 'z'. Rename their folders"
    for use in (run.encode, run.evaluate):
        with pytest.raises(ValueError, match=message):
            use(folder)


def test_other_images_come_in_parts(run, tmp_path):
    images = tmp_path / "images"
    for number, part in enumerate(("train", "test"), start=1):
        write_images(images / part, 2 * number)
    assert [len(run.encode(images, part=part).codes) for part in (None, "train", "test")] == [
        4,
        2,
        4,
    ]
    with pytest.raises(ValueError, match="no 'validation' part"):
        run.encode(images, part="validation")
    assert run.other_images(images)[0] == "test"
    shutil.rmtree(images / "test")
    assert run.other_images(images)[0] == "train"
    # Without parts: a folder, arrays.
    assert run.other_images(images / "train")[0] is run.other_images(grey_images(2))[0] is None


def test_stages_and_parts_that_are_none_are_refused(run):
    with pytest.raises(ValueError, match=r"'all', 'vqvae' or 'prior'.*stage='vae'"):
        run.evaluate(stage="vae")
    with pytest.raises(ValueError, match=r"one of train, validation, test.*part='tset'"):
        run.codes("tset")


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


class TestChangedImages:
    @pytest.fixture
    def changed(self, run, tmp_path):
        """A copy of the run, with images of its own that may be changed."""
        images = shutil.copytree(run.config.data.source, tmp_path / "images")
        shutil.copytree(run.directory, tmp_path / "run")
        file = tmp_path / "run" / "config.json"
        content = json.loads(file.read_text())
        content["data"]["source"] = str(images)
        file.write_text(json.dumps(content))
        return Run.open(tmp_path / "run"), images

    def test_figures_of_others_than_the_run_began_with_are_a_warning(self, changed):
        copy, images = changed
        copy.evaluate(stage="vqvae")  # without a warning
        shutil.copy(images / "train" / "a" / "00.png", images / "train" / "a" / "99.png")
        copy = Run.open(copy.directory)
        with pytest.warns(UserWarning, match="not those that this run began with"):
            copy.evaluate(stage="vqvae")
        copy.evaluate((grey_images(2), np.array([0, 1])))  # which are not the run's own

    def test_codes_that_were_kept_of_more_images_are_named(self, changed):
        copy, images = changed
        copy.codes("test")
        (images / "test" / "a" / "00.png").unlink()
        metrics = json.loads(copy.files.metrics.read_text())
        del metrics["encoded"]  # as a version before has written it
        copy.files.metrics.write_text(json.dumps(metrics))
        copy = Run.open(copy.directory)
        message = r"codes_test\.npz' holds the codes of 6 images, and there are 5\. Remove it"
        with pytest.raises(ValueError, match=message):
            copy.evaluate()
        copy.files.model("prior").unlink()
        with pytest.raises(ValueError, match=message):
            copy.write_report()
        copy.files.codes("test").unlink()
        assert copy.evaluate()["vqvae"]["images"] == 5

    def test_codes_that_were_kept_of_as_many_others_are_made_anew(self, changed):
        copy, images = changed
        before = copy.codes("test").codes
        figures = copy.evaluate()
        for path in (images / "test").rglob("*.png"):
            Image.fromarray(np.full((8, 8), len(path.stem), np.uint8)).save(path)
        copy = Run.open(copy.directory)
        after = copy.evaluate()
        expected = copy.vqvae().encode(copy.parts.test.as_array())
        np.testing.assert_array_equal(copy.codes("test").codes, expected)
        assert not np.array_equal(expected, before)
        assert after["prior"] != figures["prior"]
        (images / "test" / "a" / "00.png").unlink()
        copy = Run.open(copy.directory)
        assert copy.evaluate()["vqvae"]["images"] == len(copy.codes("test").codes) == 5
        shutil.rmtree(images)  # the codes are still there
        assert len(Run.open(copy.directory).codes("test").codes) == 5

    def test_no_codes_are_left_of_a_kill_that_do_not_belong_to_what_is_noted(
        self, changed, monkeypatch
    ):
        copy, images = changed
        copy.codes("test")
        Image.fromarray(np.full((8, 8), 7, np.uint8)).save(images / "test" / "a" / "00.png")
        copy = Run.open(copy.directory)
        monkeypatch.setattr("keras_vqvae.data.encode_to_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            copy.codes("test")
        monkeypatch.undo()
        expected = copy.vqvae().encode(copy.parts.test.as_array())
        np.testing.assert_array_equal(Run.open(copy.directory).codes("test").codes, expected)

    def test_classes_that_get_other_numbers_are_a_change(self, changed):
        copy, images = changed
        assert not copy.data_changed()
        shutil.copytree(images / "test" / "a", images / "test" / "0")  # before the others
        copy = Run.open(copy.directory)
        assert copy.data_changed()
        with pytest.raises(ValueError, match="the folders of their classes, have changed"):
            copy.check_data()


def test_info_tells_of_settings_progress_and_files(run):
    info = run.info()
    assert info["stages"]["vqvae"]["finished"]
    assert info["stages"]["prior"]["epochs"] == info["stages"]["prior"]["of_epochs"] == 1
    assert info["metrics"]["vqvae"]["fingerprint"] == run.vqvae().fingerprint()
    assert info["metrics"]["environment"]["keras"]
    assert info["files"]["vqvae.keras"] > 1000
    assert info["config"]["data"]["horizontal_flip"]


def test_open_needs_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        Run.open(tmp_path)


class TestCreate:
    def refused(self, folder, tmp_path, text, **changes):
        with pytest.raises((ValueError, FileNotFoundError), match=text):
            Run.create(tmp_path / "run", tiny_config(folder, **changes))
        assert not (tmp_path / "run").exists()

    def test_refuses_what_does_not_fit_and_writes_nothing(self, tmp_path):
        folder = write_images(tmp_path / "images", 6, classes=())
        self.refused(tmp_path / "nowhere", tmp_path, "nowhere")
        (tmp_path / "empty").mkdir()
        self.refused(tmp_path / "empty", tmp_path, "has none")
        patient = TrainingConfig(patience=2)
        for text, changes in {
            "divisible": {"data": DataConfig(str(folder), image_size=7)},
            "crop_padding": {"data": DataConfig(str(folder), crop_padding=8)},
            "labels": {"prior": PriorConfig(conditional=True)},
            "patience": {
                "data": DataConfig(str(folder), validation_fraction=0),
                "prior_training": patient,
            },
        }.items():
            self.refused(folder, tmp_path, text, **changes)

    def test_refuses_images_of_one_colour_and_floats_of_unknown_scale(self, tmp_path):
        np.save(tmp_path / "same.npy", np.full((6, 8, 8), 7, "uint8"))
        self.refused(tmp_path / "same.npy", tmp_path, "one colour")
        np.save(tmp_path / "float.npy", np.random.default_rng(0).random((6, 8, 8)))
        self.refused(tmp_path / "float.npy", tmp_path, "value_range")
        wrong = DataConfig(str(tmp_path / "float.npy"), value_range=(0, 255))
        self.refused("elsewhere", tmp_path, "value_range", data=wrong)
        data = DataConfig(str(tmp_path / "float.npy"), value_range=(0, 1))
        run = Run.create(tmp_path / "run", tiny_config("elsewhere", data=data))
        # a uniform number in [0, 1] has the variance 1/12
        assert run.parts.variance() == pytest.approx(1 / 12, rel=0.2)

    @pytest.mark.parametrize("channels", [2, 4])
    def test_refuses_images_that_are_neither_grey_nor_rgb(self, tmp_path, channels):
        np.save(tmp_path / "x.npy", grey_images(8, channels=channels))
        message = rf"1 or 3 channels.*\(8, 8, {channels}\)"
        self.refused(tmp_path / "x.npy", tmp_path, message)

    @pytest.mark.parametrize("place", ["run", "train/run", "."])
    def test_refuses_a_new_run_in_the_folder_of_its_images(self, tmp_path, place):
        """Its pictures would be images at the next start, of other data than it began with."""
        folder = write_images(tmp_path / "images" / "train", 8).parent
        (tmp_path / "link").symlink_to(folder)
        before = sorted(folder.rglob("*"))
        message = "would become images|holds no run"
        for source, output in ((folder, tmp_path / "link"), (tmp_path / "link", folder)):
            with pytest.raises(ValueError, match=message):
                Run.create(output / place, tiny_config(source))
        assert sorted(folder.rglob("*")) == before

    def test_beside_its_images_or_hidden_from_them_is_a_place_for_a_run(self, tmp_path):
        folder = write_images(tmp_path / "images", 8)
        for place in (tmp_path / "images_run", folder / ".runs" / "1"):
            config = tiny_config(folder)
            assert Run.create(place, config).config == Run.create(place, config).config
        np.save(folder / "images.npy", grey_images(8))
        Run.create(folder / "run", tiny_config(folder / "images.npy"))

    def test_a_run_that_is_in_the_folder_of_its_images_already_is_opened(self, tmp_path):
        folder = write_images(tmp_path / "images", 8)
        config = tiny_config(folder)
        shutil.copytree(Run.create(tmp_path / "run", config).directory, folder / "run")
        assert Run.create(folder / "run", config).config == config
        with pytest.raises(ValueError, match="would become images"):
            Run.create(folder / "run", config, overwrite=True)

    def test_refuses_parts_of_several_kinds_before_training(self, tmp_path):
        """Each part finds out by itself which shape its images have."""
        for part, channels in (("train", 3), ("val", 3), ("test", 1)):
            write_images(tmp_path / "images" / part, 8, channels=channels)
        config = tiny_config(tmp_path / "images")
        with pytest.raises(
            ValueError, match=r"the test images should have the shape.*\(8, 8, 3\).*\(8, 8, 1\)"
        ):
            Run.create(tmp_path / "run", config)
        rgb = dataclasses.replace(config, data=dataclasses.replace(config.data, color="rgb"))
        Run.create(tmp_path / "run", rgb)

    def test_refuses_a_part_without_labels_before_training(self, tmp_path):
        write_images(tmp_path / "images" / "train", 8)
        write_images(tmp_path / "images" / "test", 8, classes=())
        config = tiny_config(tmp_path / "images")
        conditional = dataclasses.replace(config.prior, conditional=True)
        with pytest.raises(ValueError, match="`conditional` needs labels"):
            Run.create(tmp_path / "run", dataclasses.replace(config, prior=conditional))
        Run.create(tmp_path / "run", config)

    def test_names_that_are_no_utf_8_are_kept(self, tmp_path):
        names = {"classes": ["p\udceache", "pêche"], "b": "\udcff"}
        write_json(tmp_path / "names.json", names)
        assert read_json(tmp_path / "names.json") == names
        page = Page("p\udceache", "")
        page.save(tmp_path / "page.html")
        assert "ache" in (tmp_path / "page.html").read_text()

    def test_refuses_a_directory_of_something_else(self, tmp_path):
        folder = write_images(tmp_path / "images", 6)
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "notes.txt").write_text("mine")
        for overwrite in (False, True):
            with pytest.raises(ValueError, match="not empty and holds no run"):
                Run.create(tmp_path / "run", tiny_config(folder), overwrite)
        assert (tmp_path / "run" / "notes.txt").read_text() == "mine"

    def test_unreadable_images_are_counted_by_name(self, tmp_path):
        folder = write_images(tmp_path / "images", 8)
        (folder / "a" / "bad.png").write_bytes(b"no image")
        with pytest.warns(UserWarning, match=r"bad\.png"):
            run = Run.create(tmp_path / "run", tiny_config(folder))
        assert run.metrics()["data"]["skipped_images"] == 1
        assert "bad.png" in run.metrics()["data"]["skipped_files"][0]

    def test_settings_that_do_nothing_are_named(self, tmp_path):
        folder = write_images(tmp_path / "images", 8)
        config = tiny_config(folder)
        fixed = {"quantizer": "finite_scalar", "beta": 0.5, "update": "gradient"}
        idle = dataclasses.replace(config, vqvae=dataclasses.replace(config.vqvae, **fixed))
        message = r"'finite_scalar' has no use for beta=0\.5, update='gradient'"
        with pytest.warns(UserWarning, match=message):
            Run.create(tmp_path / "run", idle)

    def test_the_source_is_found_from_anywhere(self, tmp_path, monkeypatch):
        write_images(tmp_path / "images", 6)
        monkeypatch.chdir(tmp_path)
        run = Run.create("run", tiny_config("images"))
        assert run.config.data.source == str(tmp_path / "images")
        assert Run.create(tmp_path / "run", tiny_config("images")).config == run.config


class TestTakingOver:
    def test_a_vqvae_from_elsewhere_is_evaluated_and_gets_a_prior(self, run, tmp_path):
        own = Run.create(tmp_path / "own", run.config)
        own.take_over(run.vqvae())
        assert own.finished("vqvae")
        metrics = own.train(verbose=0)
        assert metrics["vqvae"]["mse"] == run.metrics()["vqvae"]["mse"]
        assert own.sample(2).shape == (2, 8, 8, 1)
        with pytest.raises(RunExistsError, match="has a VQ-VAE"):
            own.take_over(run.vqvae())

    def test_of_other_images_is_refused(self, run, tmp_path):
        folder = write_images(tmp_path / "images", 12, side=16)
        other = Run.create(tmp_path / "other", tiny_config(folder))
        with pytest.raises(ValueError, match=r"\(16, 16, 1\).*Received.*\(8, 8, 1\)"):
            other.take_over(run.vqvae())
        assert not other.finished("vqvae")

    def test_with_several_codes_a_position_is_refused(self, run, tmp_path):
        own = Run.create(tmp_path / "own", run.config)
        quantizer = layers.ResidualVectorQuantizer(2, 4)
        deep = models.convolutional_vqvae((8, 8, 1), quantizer=quantizer, widths=(4,))
        with pytest.raises(ValueError, match=r"one code for each position.*code_shape=\(4, 4, 2\)"):
            own.take_over(deep)
        assert not own.finished("vqvae")

    def test_its_prior_may_be_trained_before_it_is_evaluated(self, run, tmp_path):
        own = Run.create(tmp_path / "own", run.config)
        own.take_over(run.vqvae())
        metrics = own.train("prior", verbose=0)
        assert "vqvae" not in metrics
        assert metrics["prior"]["bits_per_code"] > 0
        metrics = own.train(verbose=0)
        assert metrics["vqvae"]["mse"] == run.metrics()["vqvae"]["mse"]
        assert "codes_prior" in metrics["bits_per_dimension"]


@pytest.mark.parametrize(("classes", "columns"), [(12, 10), (3, 3)])
def test_the_sheet_has_six_samples_of_each_of_the_first_ten_classes(tmp_path, classes, columns):
    drawn = {}

    def sample(count, labels, verbose):
        drawn["labels"] = labels
        return np.stack([np.full((8, 8, 1), 20 * label, "uint8") for label in labels])

    run = SimpleNamespace(
        prior=lambda: SimpleNamespace(num_classes=classes),
        vqvae=lambda: SimpleNamespace(value_range=(0, 255)),
        parts=SimpleNamespace(train=SimpleNamespace(class_names=None)),
        files=SimpleNamespace(samples=tmp_path / "samples.png"),
        sample=sample,
    )
    session = Session(run, 0, (), False, None, None)
    session._draw_samples(*_sheet(classes))
    # A row of the sheet is as long as it has columns.
    assert drawn["labels"].reshape(-1, columns).tolist() == [list(range(columns))] * 6
    assert (tmp_path / "samples.png").exists()


def test_the_command_of_a_run_makes_its_settings_again(run):
    config = dataclasses.replace(
        run.config,
        vqvae=VQVAEConfig(beta=0.123456789, widths=(8, 16), revival=False),
        dtype_policy="mixed_bfloat16",
    )
    for one in (RunConfig(DataConfig("images")), run.config, config):
        words = shlex.split(train_command(one, "runs/mine"))
        assert words[:2] == ["keras-vqvae", "train"]
        context = train.make_context("train", words[2:])
        options = dict(context.params)
        source = options.pop("source")
        for name in ("output", "stage", "overwrite", "tensorboard", "checkpoint_minutes"):
            options.pop(name)
        assert apply_options(RunConfig(DataConfig(source)), options) == one


def test_the_command_of_a_prior_gives_the_run_its_settings(run):
    before = run.config
    other = dataclasses.replace(
        before,
        prior=dataclasses.replace(before.prior, filters=8, dropout=0.123456789, conditional=True),
        prior_training=TrainingConfig(learning_rate=0.0123456789),
    )
    for config, overwrite in ((before, False), (other, True)):
        words = shlex.split(prior_command(config, before, "my runs/mine", overwrite))
        assert words[:2] == ["keras-vqvae", "prior"]
        options = dict(prior.make_context("prior", words[2:]).params)
        assert options.pop("run") == "my runs/mine"
        assert options.pop("overwrite") == overwrite
        for name in ("tensorboard", "checkpoint_minutes"):
            options.pop(name)
        assert apply_options(before, options) == config
    patient = dataclasses.replace(before, prior_training=TrainingConfig(patience=3))
    with pytest.raises(ValueError, match=r"`config` should keep `patience`.*in place of 3"):
        prior_command(before, patient, "runs/mine")
