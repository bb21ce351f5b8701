"""``python -m sdclient`` is the command ``sdclient``."""

from sdclient.cli import main

main()
