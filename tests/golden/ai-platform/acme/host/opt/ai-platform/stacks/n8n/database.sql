-- n8n's role and database. The step 2-deploy/10-database@n8n runs this, again when it changes, and a restore does.
SELECT 'CREATE ROLE n8n LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'n8n') \gexec
ALTER ROLE n8n PASSWORD 'sentinel-n8n_db_password-''"$x#\ z';
SELECT 'CREATE DATABASE n8n OWNER n8n' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'n8n') \gexec
REVOKE ALL ON DATABASE n8n FROM PUBLIC;
