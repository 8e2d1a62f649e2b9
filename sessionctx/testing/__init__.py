"""The public test kit: fakes, a simulated network, contracts; for those who fetch, or write transports and stores.

Import its modules by name.
"""
