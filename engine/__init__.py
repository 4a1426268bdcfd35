"""Wander's engine: the world model and its mathematics. The verbs are in `engine.world`."""
