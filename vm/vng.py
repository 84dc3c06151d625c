"""vng without the user's and the system's virtme-ng.conf.

`default_opts` in such a file override the command line: "quiet" there would keep
kernel warnings off the console, and "append" would drop our kernel options.
"""

from __future__ import annotations

import sys

from virtme_ng import run, utils  # type: ignore[import-untyped]

if __name__ == "__main__":
    utils.get_conf_obj = lambda: utils.CONF_DEFAULT
    sys.exit(run.main())
