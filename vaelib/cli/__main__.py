"""``python -m vaelib.cli`` is ``vaelib``."""

from vaelib.cli import main

raise SystemExit(main())
