"""Memory inside a model: what is made for it, what is given to it, and when it is let go."""
