"""Loss and metrics over a whole data set, in inference mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime as ort

from netdsl.runtime.feeding import Feed
from netdsl.runtime.session import Device, memory_errors_told, open_session
from netdsl.training.step import EvaluationModel


class Evaluator:
    """A session of the evaluation model, which reads the state where the training step keeps it."""

    def __init__(self, model: EvaluationModel, device: Device, way_out: str | None = None):
        """`way_out` is what a DeviceError names, where memory does not suffice, besides a smaller batch."""
        self.model, self._way_out = model, way_out
        self._session = open_session(model.model, device)
        self._names = dict(model.inputs) | dict(model.targets)
        self._dtypes = {
            value.name: np.dtype(np.int64 if value.type == "tensor(int64)" else np.float32)
            for value in self._session.get_inputs()
        }

    def run(
        self, state: Mapping[str, ort.OrtValue], feed: Feed, batch: int, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[float, dict[str, float]] | None:
        """The loss and the metrics over all samples: the means of the batches', weighted by their numbers of samples.

        Every sample counts, the last batch may be smaller. None if `stopped` says so between two batches.
        """
        sums = np.zeros(1 + len(self.model.metrics))
        binding = self._session.io_binding()
        for name, value in state.items():
            if name in self.model.state:
                binding.bind_ortvalue_input(f"state/{name}", value)
        outputs = [self.model.loss, *self.model.metrics.values()]
        for arrays in feed.batches(np.arange(len(feed)), batch):
            if stopped():
                return None
            count, kept = 0, {}  # the binding refers to the arrays, it does not hold them
            with memory_errors_told(batch, self._way_out):
                for name, array in arrays.items():
                    tensor = self._names[name]
                    kept[tensor] = np.ascontiguousarray(array, self._dtypes[tensor])
                    binding.bind_cpu_input(tensor, kept[tensor])
                    count = len(array)
                for name in outputs:
                    binding.bind_output(name)
                self._session.run_with_iobinding(binding)
                results = binding.copy_outputs_to_cpu()
            sums += count * np.array([float(result) for result in results])
        means = sums / len(feed)
        return float(means[0]), dict(zip(self.model.metrics, means[1:].tolist(), strict=True))
