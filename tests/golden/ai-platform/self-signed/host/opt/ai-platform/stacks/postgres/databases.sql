-- A role and a database for each service that is a client. The step 2-deploy/10-databases@postgres runs this, again when it
-- changes, and a restore does.

SELECT 'CREATE ROLE litellm LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'litellm') \gexec
ALTER ROLE litellm PASSWORD 'sentinel-litellm_db_password-''"$x#\ z';
SELECT 'CREATE DATABASE litellm OWNER litellm' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'litellm') \gexec
REVOKE ALL ON DATABASE litellm FROM PUBLIC;

SELECT 'CREATE ROLE n8n LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'n8n') \gexec
ALTER ROLE n8n PASSWORD 'sentinel-n8n_db_password-''"$x#\ z';
SELECT 'CREATE DATABASE n8n OWNER n8n' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'n8n') \gexec
REVOKE ALL ON DATABASE n8n FROM PUBLIC;
