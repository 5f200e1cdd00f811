"""`python -m netdsl`"""

from netdsl.cli import main

main()
