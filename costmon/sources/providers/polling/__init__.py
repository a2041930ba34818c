"""Polling: when a source is read, one round of it, and what is written of it.

rhythm    when to ask, pure            breaker   one round at a time, among any number of processes
windows   which days, pure             rounds    ask, and check the answer
accounts  none counts twice            books     what a round leaves, with balances
turns     the others together          keeper    every source of a home, for as long as it runs
byhand    a round because a person asks
"""
