"""Honest measurement (DESIGN 8): the committed protocol, metrics, baselines, camera-motion estimates, and the machine's
own limits."""
