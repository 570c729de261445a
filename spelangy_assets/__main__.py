"""`python -m spelangy_assets COMMAND`: the command line."""

import sys

from spelangy_assets.cli.main import main
from spelangy_assets.execution.stage import InputError, PreflightError

if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InputError, PreflightError) as error:  # in words for a person; where in the code it was raised says nothing
        sys.exit(f"{error}")
