"""netdsl from Python: `netdsl.load(...)` and what a loaded net can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from netdsl.analysis import Report, analyze, check_expectations
from netdsl.diagnostics import Source
from netdsl.elaborate import Elaboration, elaborate, read_source
from netdsl.ir import Graph

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from netdsl.lower import Provider
    from netdsl.passes import Conversion
    from netdsl.runtime.data import Data
    from netdsl.runtime.gradcheck import GradientCheck
    from netdsl.runtime.history import History
    from netdsl.runtime.predict import Predictions, Predictor
    from netdsl.runtime.progress import Progress
    from netdsl.runtime.trainer import Trainer


def load(path: str | PathLike[str], **hyperparameters: Any) -> Net:
    """Read, elaborate and check a net.

    `path` is `FILE` or, where a file has several nets, `FILE:NET`. Hyperparameters are given by name: numbers, strings,
    booleans, lists, None; NumPy's count as such. Raises NetError with every independent diagnostic: of syntax, names,
    shapes, and `expect` lines that do not hold.
    """
    file, net = split_path(str(path))
    return Net(elaborate(read_source(file), net, _plain(hyperparameters)))


def loads(text: str, net: str | None = None, **hyperparameters: Any) -> Net:
    """`load` for a text; `net` names one where it has several. Raises NetError as `load` does."""
    return Net(elaborate(Source("<text>", text), net, _plain(hyperparameters)))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """With numbers and lists in place of NumPy's scalars and arrays."""
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}


def split_path(path: str) -> tuple[str, str | None]:
    """`FILE:NET` as file and net; the net None where none is named."""
    file, colon, net = path.rpartition(":")
    return (file, net) if colon and net.isidentifier() and file else (path, None)


class Net:
    """A checked network, with its weights once it has been trained."""

    def __init__(self, elaboration: Elaboration) -> None:
        check_expectations(elaboration)
        self.graph: Graph = elaboration.graph
        self._parameters: dict[str, np.ndarray] | None = None
        self._classes: tuple[str, ...] | None = None
        #: what `convert` did to make this net, a sentence each
        self.remarks: tuple[str, ...] = ()

    @classmethod
    def _converted(cls, net: Net, conversion: Conversion) -> Net:
        made = cls.__new__(cls)
        made.graph, made._parameters, made._classes = conversion.graph, conversion.parameters, net._classes
        made.remarks = conversion.remarks
        return made

    def __repr__(self) -> str:
        inputs = ", ".join(
            f"{v.name}{[str(d) if not isinstance(d, int) else d for d in v.shape]}" for v in self.graph.inputs
        )
        return f"<net {self.graph.name}: {inputs} -> {', '.join(self.graph.outputs)}>"

    def analyze(self, *, batch: int | None = None) -> Report:
        """Shapes, parameters, MACs, FLOPs, memory, depth and receptive fields. Prints as a table.

        With a `batch`, also the memory of a training step of so many samples, in bytes: `training_memory`. Raises NetError
        then if the net has no train block or nothing to train.
        """
        return analyze(self.graph, batch=batch)

    def parameters(self, seed: int = 0) -> dict[str, np.ndarray]:
        """The weights and buffers by name, float32: the trained ones, else initial ones drawn from the seed.

        `x.conv.weight` is that of the layer `x.conv` in `analyze`; `netdsl ops OPERATOR` tells the shapes.
        """
        from netdsl.lower import initial_parameters

        return self._parameters if self._parameters is not None else initial_parameters(self.graph, seed)

    def compile(
        self,
        path: str | PathLike[str] | None = None,
        *,
        weights: str | PathLike[str] | Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
        fold_bn: bool = False,
    ) -> onnx.ModelProto:
        """The net for inference as an ONNX model with a dynamic batch axis; written to `path` where one is given.

        Inputs and outputs have the net's names and are `[N, ...]`; symbolic sizes stay open, too.
        The weights are those of a checkpoint file or a mapping by name, else the net's own (see `parameters`).
        `fold_bn` folds batch normalisations into the layers before them. Raises NetError where weights do not fit or
        the file cannot be written; an existing file is then as it was.
        """
        from netdsl import lower
        from netdsl.passes import fold_bn as folded

        graph, parameters = self.graph, self._weights(weights, seed)
        if fold_bn:
            graph, parameters, _ = folded(graph, parameters)
        model = lower.compile_model(graph, parameters)
        if path is not None:
            lower.write_model(model, path)
        return model

    def compile_training(
        self,
        path: str | PathLike[str] | None = None,
        *,
        split: bool = False,
        provider: Provider = "cpu",
        precision: str = "float32",
        weights: str | PathLike[str] | Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
    ) -> list[onnx.ModelProto]:
        """The training step as an ONNX model in standard operators, with the state to start from; see docs/training-step.md.

        `split`: two models, gradients and update, written to `PATH.gradients.onnx` and `PATH.update.onnx` for a `path` of
        `PATH.onnx`. `provider`: `cuda` avoids operators that have no CUDA kernel in ONNX Runtime. `precision`: fp16 or
        bf16 for mixed precision. `weights` as in `compile`, `seed` also of the random numbers. Raises NetError: no train
        block, an operator without a gradient, weights that do not fit, a file that cannot be written, a precision that
        ONNX Runtime has no kernels for on the CPU.
        """
        from netdsl.lower import initial_parameters, write_model
        from netdsl.runtime.options import known_precision
        from netdsl.training.block import training_of
        from netdsl.training.portable import paths_of, portable
        from netdsl.training.step import build_step

        batch, known = training_of(self.graph).batch, known_precision(precision)
        step = build_step(self.graph, batch=batch, provider=provider, split=split, precision=known)
        if provider == "cpu" and known != "float32":  # whether a GPU has the kernels is known where it is
            from netdsl.runtime.precision import require_precision
            from netdsl.runtime.session import Device

            require_precision(step, Device("cpu"))
        tensors = initial_parameters(self.graph, seed) | self._weights(weights, seed)
        models = portable(self.graph, step, tensors, seed=seed, provider=provider)
        for model, target in zip(models, paths_of(path, split=split) if path is not None else (), strict=False):
            write_model(model, target)
        return models

    def convert(
        self,
        *,
        chop: str | Sequence[str] = (),
        prune_edges: float | None = None,
        fully_convolutional: bool = False,
        atrous: str | Sequence[str] | Mapping[str, int] = (),
        fold_bn: bool = False,
        weights: str | PathLike[str] | Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
    ) -> Net:
        """A new net, converted by passes, in the order of these arguments; see `netdsl.passes` for what each one holds to.

        `chop`: up to these layers. `prune_edges`: without inputs of sums that are weaker than this part (0 to 1) of the
        strongest beside them. `fully_convolutional`: dense layers as convolutions. `atrous`: without the strides of these
        layers (or with the strides given), dilated behind them. `fold_bn`: batch normalisations in the layers before them.
        The new net has the weights of a checkpoint or mapping, else this net's, converted; `remarks` says what was done. To
        train on from them: `converted.train(data, weights=converted.parameters())`. Raises NetError.
        """
        from netdsl import passes

        strides = dict.fromkeys([atrous] if isinstance(atrous, str) else atrous, 1)
        return self._converted(self, passes.convert(
            self.graph, self._weights(weights, seed), chopped=[chop] if isinstance(chop, str) else chop,
            threshold=prune_edges, convolutional=fully_convolutional,
            strides=atrous if isinstance(atrous, Mapping) else strides, folded=fold_bn,
        ))  # fmt: skip

    def trainer(
        self,
        data: str | PathLike[str] | Data,
        *,
        epochs: int | None = None,
        seed: int = 0,
        out: str | PathLike[str] | None = None,
        weights: str | PathLike[str] | Mapping[str, np.ndarray] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        device: str = "auto",
        threads: int | None = None,
        accumulate: int = 1,
        precision: str = "float32",
        progress: Progress | None = None,
    ) -> Trainer:
        """A trainer, ready to `run()`; options and errors are those of `train`. `progress` is told how far it has come."""
        from netdsl.runtime.data.of_net import data_of_net
        from netdsl.runtime.directory import default_directory, guard_directory
        from netdsl.runtime.trainer import Trainer

        directory = default_directory(self.graph) if out is None else out
        samples = data_of_net(self.graph, data)  # first: a run is not to be overwritten for data that are not there
        guard_directory(directory, resume=resume, overwrite=overwrite)
        trainer = Trainer(
            self.graph, samples, directory=directory, device=device, threads=threads, seed=seed,
            epochs=epochs, accumulate=accumulate, precision=precision, progress=progress,
            weights=None if weights is None else self._weights(weights, seed),
        )  # fmt: skip
        if resume:
            trainer.resume()
        return trainer

    def train(self, data: str | PathLike[str] | Data, **options: Any) -> History:
        """Train the net as its `train` block says; afterwards it has the trained weights.

        `data` is what `netdsl train --data` takes, or a `Data`. Options: `epochs`, `seed`, `out` (the folder for
        checkpoints, `runs/NET` unless given), `weights`, `resume`, `overwrite`, `device` (auto, cpu or cuda), `threads`,
        `accumulate` (in how many parts a batch is computed, where memory is short), `precision` (float32; fp16 or bf16 for
        mixed precision, where the device has kernels for it).
        Raises NetError: no train block, an operator without a gradient, data that do not fit, a loss that is not finite.
        """
        trainer = self.trainer(data, **options)
        history = trainer.run()
        self._parameters = trainer.tensors()
        self._classes = trainer.data.classes
        return history

    def check_gradients(
        self,
        data: str | PathLike[str] | Data | None = None,
        *,
        batch: int = 4,
        samples: int = 10,
        tolerance: float = 1e-4,
        seed: int = 0,
        weights: str | PathLike[str] | Mapping[str, np.ndarray] | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> GradientCheck:
        """Compare the gradients of the training step with finite differences of its loss, in float64.

        On the first `batch` training samples of `data`, or on random inputs and targets; at the given weights or the trained
        ones, else at initial weights with a little noise. `samples` entries of each parameter are compared, to a relative
        `tolerance`. The result's `right` says whether all are, `worst` is the parameter with the largest error. Raises
        NetError: no train block, an operator without a gradient, data that do not fit.
        """
        from netdsl.runtime.gradcheck import NOISE, check_gradients, first_samples

        given: dict[str, Any] = {} if data is None else first_samples(self.graph, data, batch)
        fresh = weights is None and self._parameters is None
        return check_gradients(
            self.graph, self._weights(weights, seed), batch=batch, samples=samples, tolerance=tolerance, seed=seed,
            noise=NOISE if fresh else 0.0, device=device, threads=threads, **given,
        )  # fmt: skip

    def predictor(
        self, weights: str | PathLike[str] | None = None, *, device: str = "auto", threads: int | None = None
    ) -> Predictor:
        """The net ready to predict: with a checkpoint's weights, input pipeline and classes, else with its own.

        `device`: auto, cpu or cuda. Raises CheckpointError where the checkpoint cannot be read or is of another net,
        DeviceError where the device does not work.
        """
        from netdsl.runtime.predict import Predictor

        if weights is not None:
            return Predictor.from_checkpoint(self.graph, weights, device=device, threads=threads)
        return Predictor(self.graph, self.parameters(), classes=self._classes, device=device, threads=threads)

    def predict(self, inputs: np.ndarray | dict[str, np.ndarray]) -> Predictions:
        """Predict on samples `[n, ...]` as they come from a file; the train block's `prepare` is applied to them.

        A net with several inputs takes a dict by name. The result has an array `[n, ...]` for each output, and class
        probabilities `[n, classes, ...]` where the net was trained with a cross-entropy. Raises DataError where the samples
        do not fit.
        """
        return self.predictor().predict(inputs)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the weights and buffers as a safetensors file that `netdsl run` and `compile --weights` take.

        Raises CheckpointError where it cannot be written.
        """
        from netdsl.runtime.checkpoint import Checkpoint, Progress, save
        from netdsl.runtime.transforms import Pipeline

        prepare = Pipeline(self.graph.prepare).to_json()
        classes = None if self._classes is None else list(self._classes)
        save(
            path,
            Checkpoint(self.parameters(), progress=Progress(net=self.graph.name, prepare=prepare, classes=classes)),
        )

    def _weights(self, weights: Any, seed: int) -> dict[str, np.ndarray]:
        if weights is None:
            return self.parameters(seed)
        from netdsl.lower import fit_weights

        if isinstance(weights, Mapping):
            return fit_weights(self.graph, weights, "<weights>")
        from netdsl.runtime import checkpoint

        return fit_weights(self.graph, checkpoint.load_weights(weights), str(weights))
