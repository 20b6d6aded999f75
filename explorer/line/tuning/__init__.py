"""The parts of the stage `tune`: what is on record, who builds and measures candidates, and which layer is next."""
