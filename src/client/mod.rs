//! HTTP client of the server.
