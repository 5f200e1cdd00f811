"""What hypothesis draws to fuzz with."""


from hypothesis import strategies as st

from tests.fuzz_calls import CallWriter
from tests.fuzz_nets import NetWriter
from tests.fuzz_texts import Mutator, corpus
from tests.net_generator import net_files

_RANDOMS = st.randoms(use_true_random=False)


def _mutated(text, random):
    return Mutator(random).mutate(text)


#: files that the grammar accepts, and which mean nothing
GRAMMATICAL = net_files()
#: nets in which nothing is wrong
WELL_FORMED = _RANDOMS.map(lambda random: NetWriter(random).file())
#: nets of one call, with whatever as tensors and arguments
CALLS = _RANDOMS.map(lambda random: CallWriter(random).file())
MUTATED = st.builds(_mutated, st.sampled_from(corpus()) | WELL_FORMED | GRAMMATICAL | CALLS, _RANDOMS)
