"""Trial on record → a folder to deploy; such a folder → whether it still computes what it did, and as fast."""
