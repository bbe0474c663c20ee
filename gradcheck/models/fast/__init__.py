"""Fast ways to what the other modules of ``models`` define: losses with one weight moved, from one forward pass.

The slow way is the definition (``models.in_full``).  This folder may go, and ``Dense.fast`` be None: every verdict stays.
What is lost is time, and the errors that all points of a line share, which cancel where nothing is computed twice.
"""
