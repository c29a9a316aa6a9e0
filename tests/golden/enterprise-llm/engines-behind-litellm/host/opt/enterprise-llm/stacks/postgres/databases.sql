-- A role and a database for each service that is a client. The step 2-deploy/10-databases@postgres runs this, again when it
-- changes, and a restore does.

SELECT 'CREATE ROLE gateway LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gateway') \gexec
ALTER ROLE gateway PASSWORD 'sentinel-gateway_db_password-''"$x#\ z';
SELECT 'CREATE DATABASE gateway OWNER gateway' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'gateway') \gexec
REVOKE ALL ON DATABASE gateway FROM PUBLIC;

SELECT 'CREATE ROLE litellm LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'litellm') \gexec
ALTER ROLE litellm PASSWORD 'sentinel-litellm_db_password-''"$x#\ z';
SELECT 'CREATE DATABASE litellm OWNER litellm' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'litellm') \gexec
REVOKE ALL ON DATABASE litellm FROM PUBLIC;
