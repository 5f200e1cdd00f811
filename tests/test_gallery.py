"""examples/README.md is what `netdsl analyze` says of the zoo."""

import subprocess
import sys
from pathlib import Path

GALLERY = Path(__file__).resolve().parent.parent / "examples" / "gallery.py"


def test_the_gallery_is_up_to_date():
    done = subprocess.run([sys.executable, str(GALLERY), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
