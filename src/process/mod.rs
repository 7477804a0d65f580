//! Children: spawn, supervise, exit reason.
