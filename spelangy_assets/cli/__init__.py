"""The command line.

Put here: commands, arguments and printing. Do not put here: work; each command calls a function of another package.
"""
