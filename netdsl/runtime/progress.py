"""What is shown while a net trains: a live bar on a terminal, plain lines elsewhere, nothing where nobody looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from netdsl.runtime.history import EpochRecord, describe

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress(Protocol):
    """Told by the trainer what happens. `due` is asked before every `step`: losses are read only to be shown."""

    def begin(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """An epoch (counted from 1) goes on from its `step`-th of `steps` steps."""

    def due(self) -> bool:
        """Whether it is time to show something again."""

    def step(self, step: int, loss: float, metrics: Mapping[str, float], images_per_second: float) -> None:
        """So many steps of the epoch are done; the loss and metrics are means over them."""

    def end(self, record: EpochRecord) -> None:
        """The epoch is finished and validated."""

    def message(self, text: str) -> None:
        """Something that is said once."""

    def close(self) -> None:
        """Training is over, finished or not."""


class Silence:
    """Shows nothing."""

    def begin(self, epoch: int, epochs: int, step: int, steps: int) -> None: ...

    def due(self) -> bool:
        return False

    def step(self, step: int, loss: float, metrics: Mapping[str, float], images_per_second: float) -> None: ...

    def end(self, record: EpochRecord) -> None: ...

    def message(self, text: str) -> None: ...

    def close(self) -> None: ...


class _Lenient:
    """A stream that takes no more once a write has failed: training goes on where nobody can look any longer."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if not self._broken:
            try:
                action()
            except (OSError, ValueError):  # a ValueError where the stream was closed
                self._broken = True


class Lines(Silence):
    """One line per epoch, and one every half a minute within long ones: for logs and pipes."""

    _EVERY = 30.0  # seconds

    def __init__(self, stream: TextIO):
        self._stream = _Lenient(stream)
        self._last = time.monotonic()
        self._place = ""
        self._steps = 0

    def begin(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        self._place, self._steps = f"epoch {epoch}/{epochs}", steps

    def due(self) -> bool:
        return time.monotonic() - self._last >= self._EVERY

    def step(self, step: int, loss: float, metrics: Mapping[str, float], images_per_second: float) -> None:
        self._last = time.monotonic()
        self.message(
            f"{self._place}, step {step}/{self._steps}, {_numbers(loss, metrics)}, {images_per_second:,.0f} images/s"
        )

    def end(self, record: EpochRecord) -> None:
        self._last = time.monotonic()
        self.message(describe(record))

    def message(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class Bars:
    """A bar per epoch with loss, metrics, images per second and the time left in the whole training."""

    _EVERY = 0.1  # seconds

    def __init__(self, stream: TextIO):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(file=cast(TextIO, _Lenient(stream)))
        self._bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
            console=self._console, transient=True, auto_refresh=False,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._last = 0.0
        self._started: float | None = None
        self._first = self._steps = self._before = self._total = 0

    def begin(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        self._steps, self._before, self._total = steps, (epoch - 1) * steps, epochs * steps
        if self._started is None:
            self._started, self._first = time.monotonic(), self._before + step
            self._bar.start()
        fields: dict[str, Any] = {"numbers": "", "left": ""}
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(f"epoch {epoch}/{epochs}", total=steps, completed=step, **fields)

    def due(self) -> bool:
        return time.monotonic() - self._last >= self._EVERY

    def step(self, step: int, loss: float, metrics: Mapping[str, float], images_per_second: float) -> None:
        assert self._task is not None and self._started is not None
        self._last = time.monotonic()
        done = self._before + step
        seconds = (self._last - self._started) / max(1, done - self._first) * (self._total - done)
        numbers = f"{_numbers(loss, metrics)}, {images_per_second:,.0f} images/s"
        self._bar.update(self._task, completed=step, numbers=numbers, left=f"{_duration(seconds)} left", refresh=True)

    def end(self, record: EpochRecord) -> None:
        self.message(describe(record))

    def message(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


def progress_on(stream: TextIO | None) -> Progress:
    """Bars on a terminal, plain lines elsewhere, nothing where there is no stream (a closed stderr)."""
    if stream is None or stream.closed:
        return Silence()
    return Bars(stream) if stream.isatty() else Lines(stream)


def _numbers(loss: float, metrics: Mapping[str, float]) -> str:
    return ", ".join([f"loss {loss:.4f}", *(f"{name} {value:.4f}" for name, value in metrics.items())])


def _duration(seconds: float) -> str:
    minutes, whole = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
