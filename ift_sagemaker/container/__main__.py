"""`python -m ift_sagemaker.container`."""

import sys

from ift_sagemaker.container import main

if __name__ == "__main__":
    sys.exit(main())
