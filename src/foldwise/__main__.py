import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the cli is there: no traceback of an import

from foldwise.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
