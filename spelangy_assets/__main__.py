"""`python -m spelangy_assets COMMAND`: the command line."""

import sys

from spelangy_assets.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
