-- How credentials come to tofu: what a workspace wants, what an integration permits. Permits are off for what is there.
ALTER TABLE registry_integrations ADD COLUMN permit_file BIGINT NOT NULL DEFAULT 0;
ALTER TABLE registry_integrations ADD COLUMN permit_whole_run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN delivery TEXT NOT NULL DEFAULT 'auto';
ALTER TABLE workspaces ADD COLUMN whole_run BIGINT NOT NULL DEFAULT 0;
