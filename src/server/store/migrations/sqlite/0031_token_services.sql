-- The token service that an integration's secret is held to: scheme, host and port; none before the first test that
-- met one. The secret is sealed for it.
ALTER TABLE registry_integrations ADD COLUMN token_service TEXT;
