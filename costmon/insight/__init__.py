"""What the figures mean: pure functions on values.

reconcile  provider figures beside own figures, and what nobody logged
runway     when a prepaid balance will be used up
"""
