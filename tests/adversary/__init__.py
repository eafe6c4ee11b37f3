"""
Real agents and a real tracker, on a bus that loses, repeats, delays and reorders, with kills between any two steps.

What the executable model of the protocol tries on itself is tried here on the product's own code. A run is a scenario
and a seed, and plays the same way each time: ``PYTHONPATH=.:tests python -m adversary SCENARIO SEED``.
"""
