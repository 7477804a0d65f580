//! The whole vocabulary once, typed against a real server and agent.
