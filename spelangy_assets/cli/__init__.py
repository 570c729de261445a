"""The command line.

Put here: commands, arguments and printing. Do not put here: work; each command is a function of another room.
"""
