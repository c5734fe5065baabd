"""The secrets of the tests' worker, and by what of them a leak is found, however it is quoted."""

from __future__ import annotations

from typing import Final

#: With what quoting changes: `repr`, JSON, CSV and URLs write it in different ways.
QUOTED: Final = "qXw7'Kz3\"/Jv9\\é+Hm5 Rt8"
PLAIN: Final = "Zp4Wq8Nd2Lc6"
KEY: Final = "-----BEGIN KEY-----\nMIIq3Vb8+Xs/1\nTy6Fg0Uo==\n-----END KEY-----"
DEFAULT: Final = "Gh3Bn7Ks1Pw5"

SECRETS: Final = {"WAREHOUSE_PASSWORD": QUOTED, "PLAIN_PASSWORD": PLAIN, "SIGNING_KEY": KEY}
#: No text holds one of these by chance.
TRACES: Final = ("qXw7", "Kz3", "Jv9", "Hm5", "Rt8", PLAIN, "MIIq3Vb8", "Ty6Fg0Uo", DEFAULT)
