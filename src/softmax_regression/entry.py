"""The way in and out of a program: errors as one line, and a quick exit."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable


def run(main: Callable[[], None]) -> None:
    """Call `main`; turn an error that a person can act on into one line on stderr and exit code 1.

    ValueError (a bad value), OSError (a file, a network) and RuntimeError (a run that cannot go on) are such
    errors; any other exception is a fault of ours and keeps its traceback. Ctrl-C exits with 130.
    """
    try:
        main()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        # The interpreter's last garbage collection walks every module; with torch and MLflow loaded that takes
        # over a second. Frozen objects are not walked.
        gc.freeze()
