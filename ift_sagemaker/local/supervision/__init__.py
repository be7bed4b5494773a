"""Who runs what: detached supervisors, their leases and slots, and mending what a dead one left."""
