"""What every other package builds on; imports none of them."""
