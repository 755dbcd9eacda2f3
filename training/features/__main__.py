"""Write the documentation of the features: ``python -m training.features > docs/features.md``."""

import sys

from training.features.document import render

if __name__ == "__main__":
    sys.stdout.write(render())
