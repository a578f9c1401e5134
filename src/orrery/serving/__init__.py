"""Published models answer: the runner, the route to it, the record of its answers, and the faces over it."""
