"""The demo: two made-up apps overspend on a made-up API, and costmon does to them what it does to real ones.

    home     a temporary home with its own fast clock and a budget
    server   the API: a loopback server that answers like OpenAI and Anthropic
    pace     how long its answers are, so that a day's story takes about a minute
    child    what both apps share · trader, chatbot   the apps, each a process of its own with the real shim
    stage    all of it together, from the first process to the last file removed
    telling  the story as lines of text · screen   the story in the terminal app · picture   one still of it

Only usage and time are invented. Prices, ledger, budgets, refusals and notifications are the real ones.
"""
