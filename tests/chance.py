"""The seed of a test that tries random things.

What always holds: it is printed, which pytest shows when the test fails; `RETHOUGHT_FUZZ_SEED=...` gives it again. In
CI it is always the same: a change is refused for what it does, not for what another seed finds.
"""

import os
import random
from typing import Final

CI_SEED: Final = 20_100


def new_seed() -> int:
    given = os.environ.get("RETHOUGHT_FUZZ_SEED")
    if given:
        seed = int(given)
    elif os.environ.get("CI") == "true":
        seed = CI_SEED
    else:
        seed = random.SystemRandom().randrange(2**32)
    print(f"RETHOUGHT_FUZZ_SEED={seed}")
    return seed
