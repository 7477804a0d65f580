//! How credentials come to tofu in the fetch step.
