"""``python -m gemma4ctl``."""

from gemma4ctl.cli import main

if __name__ == "__main__":
    main()
