"""What providers say themselves: their usage, cost and balance endpoints, polled; and invoices dropped in a folder.

protocol  what a source is, and what it brings home        registry  the kinds there are, ours and others'
http      the way to a provider: bounded, bound to a host   pages    paging to the end
kinds/    one small module a provider                       polling/ rhythm, breaker, rounds, books
"""
