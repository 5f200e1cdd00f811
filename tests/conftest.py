"""No test depends on what an earlier run has left in the user's cache, nor leaves anything there."""

import os

os.environ["NETDSL_CACHE"] = "off"
