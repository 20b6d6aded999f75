"""Every configuration of a space → what is left to execute of them, priced, in an order, and executed once."""
