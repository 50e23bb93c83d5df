"""Many videos: a manifest in, run folders and one index out, on one machine or on a Ray cluster.

manifest -> items -> `scheduler.run_items` hands them to a pool of workers -> ledger -> index and exports.
"""
