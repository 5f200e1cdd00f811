"""One turn of `benchmarks/fuzz.py`, in a process of its own: memory and time are bounded, findings kept in a folder.

    python benchmarks/fuzz_worker.py ENGINE FOLDER --seconds 60 --seed 0

FOLDER gets `found/` (an input, and its traceback beside it), `current.net` (the input that runs), `progress.json`,
`beside/` (the files that inputs may import), and from atheris `corpus/`. Engines:

- `atheris`: coverage-guided (libFuzzer), from the project's files, with mutations of tokens
- `mutations`: the same without coverage, where atheris is not installed
- `hypothesis`: files by the grammar alone, well-formed nets, calls of any operator with whatever, and mutations of these
- `minimise`: what was found, shorter; SECONDS are for each
"""

import argparse
import faulthandler
import hashlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

#: seconds of processor time for one input; and of the clock, for what Python cannot interrupt
SECONDS, HANGS = 5, 60
#: bytes of address space: numpy and onnx alone take about 0.4 GB of it
MEMORY = 1_500_000_000
#: one of so many inputs is imported, too, and compiled if it can be
THOROUGH = 4


class TooSlow(BaseException):
    """Raised by the timer; not an Exception, so that nothing catches it."""


class Target:
    """Runs inputs, bounded, and keeps count."""

    def __init__(self, folder):
        self.folder, self.started, self.written = folder, time.monotonic(), 0.0
        self.executions, self.slowest = 0, 0.0
        self.stages = Counter()
        self.current = os.open(folder / "current.net", os.O_RDWR | os.O_CREAT)
        (folder / "found").mkdir(exist_ok=True)
        faulthandler.enable()
        signal.signal(signal.SIGPROF, self._too_slow)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def run(self, data, must_hold=False):
        """The stage that the input reached, or the name of a finding. `must_hold`: nothing may be wrong with it."""
        from tests.fuzz_checks import check

        os.pwrite(self.current, data, 0)
        os.ftruncate(self.current, len(data))
        self.executions += 1
        before = time.process_time()
        try:
            with self._bounded():
                stage = check(data, self.executions % THOROUGH == 0)
            assert stage != "refused" or not must_hold, "a well-formed net was refused"
        except (Exception, TooSlow) as error:
            stage = self._keep(data, error)
        self.slowest = max(self.slowest, time.process_time() - before)
        self.stages[stage] += 1
        if time.monotonic() - self.written > 1:
            self.write()
        return stage

    @contextmanager
    def _bounded(self):
        faulthandler.dump_traceback_later(HANGS, exit=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()

    @staticmethod
    def _too_slow(*_):
        raise TooSlow(f"more than {SECONDS} s of processor time")

    def _keep(self, data, error):
        """One input for each place where an error was raised: the shortest."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(f.filename).stem}.{f.name}" for f in frames if "netdsl" in f.filename or "fuzz" in f.filename]
        if isinstance(error, (TooSlow, MemoryError, RecursionError)):
            ours = ours[:4]  # where exactly it was interrupted is chance
        place = " ".join([type(error).__name__, *(ours[:4] if len(ours) < 5 else ours[-3:])])
        name = f"{type(error).__name__}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        path = self.folder / "found" / f"{name}.net"
        if not path.exists() or path.stat().st_size > len(data):
            path.write_bytes(data)
            path.with_suffix(".txt").write_text("".join(traceback.format_exception(error))[-20_000:], errors="replace")
        return name

    def write(self):
        self.written = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = {"seconds": self.written - self.started, "executions": self.executions, "slowest_seconds": self.slowest,
                 "peak_kilobytes": peak, "stages": self.stages}  # fmt: skip
        (self.folder / "progress.json").write_text(json.dumps(found))


def by_coverage(target, seconds, seed):
    """Does not return: libFuzzer ends the process."""
    import atheris

    from tests.fuzz_texts import LONGEST, Mutator, corpus

    def mutate(data, _, seed):
        return Mutator(Random(seed)).mutate(data.decode(errors="replace")).encode()

    def run(data):
        target.run(data)

    folder = target.folder / "corpus"
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(corpus()):
        (folder / f"{number:04}").write_bytes(text.encode())
    options = {"max_total_time": int(seconds), "seed": seed + 1, "max_len": 2 * LONGEST, "len_control": 0, "timeout": 3600,
               "rss_limit_mb": 0, "detect_leaks": 0, "mutate_depth": 2, "artifact_prefix": f"{target.folder}/"}  # fmt: skip
    arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(folder)]
    atheris.Setup(arguments, run, custom_mutator=mutate)
    atheris.Fuzz()


def by_mutations(target, seconds, seed):
    """Texts that come further than others, or behave like none before, are mutated again."""
    from tests.fuzz_texts import Mutator, corpus

    mutator = Mutator(Random(seed))
    texts = list(corpus())
    for text in texts:
        target.run(text.encode())
    while time.monotonic() - target.started < seconds:
        text = mutator.mutate(mutator.random.choice(texts))
        if target.run(text.encode(errors="replace")) in ("checked", "compiled"):
            texts.append(text)


def by_hypothesis(target, seconds, seed):
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.strategies import just

    from tests.fuzz_strategies import CALLS, GRAMMATICAL, MUTATED, WELL_FORMED

    few = settings(max_examples=100, deadline=None, database=None, phases=[Phase.generate],
                   suppress_health_check=list(HealthCheck))  # fmt: skip
    while time.monotonic() - target.started < seconds:
        seed += 1
        for strategy in (GRAMMATICAL, WELL_FORMED, CALLS, MUTATED):

            @seeded(seed)
            @few
            @given(strategy, just(strategy is WELL_FORMED))
            def run(text, well_formed):
                target.run(text.encode(errors="replace"), well_formed)

            run()


def minimise(target, seconds, _):
    """Make what was found shorter, by lines and by characters: `found/` keeps the shortest input of a kind."""
    for path in sorted((target.folder / "found").glob("*.net")):
        end = time.monotonic() + seconds
        data = path.read_bytes()
        size = len(data)
        while size and time.monotonic() < end:
            shorter = (data[:at] + data[at + size :] for at in range(0, len(data), size))
            found = next((s for s in shorter if time.monotonic() < end and target.run(s) == path.stem), None)
            data, size = (data, size // 2) if found is None else (found, min(size, len(found)))


ENGINES = {"atheris": by_coverage, "mutations": by_mutations, "hypothesis": by_hypothesis, "minimise": minimise}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with instrumented(arguments.engine):
        from tests.fuzz_checks import lay_out
    target = Target(arguments.folder.resolve())
    beside = target.folder / "beside"
    if not beside.exists():
        beside.mkdir()
        lay_out(beside)
    os.chdir(beside)
    ENGINES[arguments.engine](target, arguments.seconds, arguments.seed)
    target.write()


def instrumented(engine):
    """Where netdsl is imported: atheris counts the branches of what is imported here."""
    if engine != "atheris":
        return nullcontext()
    import atheris

    instrumenting = atheris.instrument_imports(include=["netdsl"])
    return instrumenting


if __name__ == "__main__":
    main()
