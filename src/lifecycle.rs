//! Shutdown in two stages, systemd notification.
