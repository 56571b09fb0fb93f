"""The roof. Each verb of the command line is a module here whose `run` takes the words after it.

It strings the steps of its rooms together; which verbs there are, `table` says.
"""
