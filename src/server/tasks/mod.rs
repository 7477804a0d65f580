//! What the server does by itself: leases that are over, blobs that nothing refers to, hints of other replicas.
